//! Preferences are merged key by key, and only by newer ones.

use beacond::ports::{BatchWriter, Delivery};

use crate::scene::{MINUTE_US, Scene, identified, identity, prefers};

const HELD: &str = "SELECT preferences FROM customers";

#[test]
fn each_key_changes_only_for_a_newer_one() {
    let scene = Scene::new();
    let mut writer = scene.writer();
    let mut held_after = |at_us, pairs: &[(&str, &str)]| {
        writer.write(&[prefers("c", at_us, pairs)], Delivery::First).unwrap();
        scene.sql(HELD)
    };
    assert_eq!(
        held_after(20, &[("seat", "window"), ("diet", "vegan")]),
        r#"{"diet": "vegan", "seat": "window"}"#
    );
    assert_eq!(
        held_after(10, &[("seat", "bar"), ("name", "Zoë \"Z\"")]),
        r#"{"diet": "vegan", "name": "Zoë \"Z\"", "seat": "window"}"#
    );
    assert_eq!(
        held_after(20, &[("seat", "equal")]),
        r#"{"diet": "vegan", "name": "Zoë \"Z\"", "seat": "window"}"#
    );
    assert_eq!(
        held_after(21, &[("seat", "bar")]),
        r#"{"diet": "vegan", "name": "Zoë \"Z\"", "seat": "bar"}"#
    );
    let times =
        scene.sql("SELECT key, extract(microseconds FROM updated_at) FROM preference_changes ORDER BY key");
    assert_eq!(times, "diet|20\nname|10\nseat|21");
}

#[test]
fn out_of_order_in_one_batch_is_as_one_after_the_other() {
    let scene = Scene::new();
    let batch = [
        prefers("c", 30, &[("seat", "newest")]),
        prefers("c", 10, &[("seat", "old"), ("diet", "old")]),
        prefers("c", 20, &[("diet", "new")]),
    ];
    scene.writer().write(&batch, Delivery::First).unwrap();
    assert_eq!(scene.sql(HELD), r#"{"diet": "new", "seat": "newest"}"#);
}

#[test]
fn an_unknown_customer_is_made_with_updated_at_and_a_known_one_not_moved() {
    let scene = Scene::new();
    let mut writer = scene.writer();
    writer.write(&[prefers("c", MINUTE_US, &[("a", "b")])], Delivery::First).unwrap();
    assert_eq!(scene.last_seen("c"), "2026-05-01T12:01:00.000000Z");
    writer.write(&[prefers("c", 5 * MINUTE_US, &[])], Delivery::First).unwrap();
    assert_eq!(scene.last_seen("c"), "2026-05-01T12:01:00.000000Z");
    let both =
        [prefers("c", 9 * MINUTE_US, &[("a", "c")]), identified(vec![identity("c", 3 * MINUTE_US, 0)])];
    writer.write(&both, Delivery::First).unwrap();
    assert_eq!(scene.last_seen("c"), "2026-05-01T12:03:00.000000Z");
    assert_eq!(scene.sql(HELD), r#"{"a": "c"}"#);
}

#[test]
fn preferences_that_are_null_are_begun_anew() {
    let scene = Scene::new();
    scene.sql("INSERT INTO customers VALUES ('c', now(), NULL)");
    scene.writer().write(&[prefers("c", 0, &[("a", "b")])], Delivery::Again).unwrap();
    assert_eq!(scene.sql(HELD), r#"{"a": "b"}"#);
}
