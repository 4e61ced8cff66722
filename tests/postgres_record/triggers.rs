//! Changes of beacons are stamped, told, kept, and guarded.

use crate::scene::{Scene, beacon_id};

/// What a session that listens is told of by a script.
fn told_by(scene: &Scene, script: &str) -> Vec<String> {
    let mut session = scene.session();
    session.run("LISTEN beacond_beacons");
    scene.sql(script);
    let lines = session.run("SELECT 1");
    let mut told: Vec<String> = lines
        .iter()
        .filter_map(|line| line.split("with payload \"").nth(1))
        .filter_map(|payload| payload.split('"').next().map(str::to_owned))
        .collect();
    told.sort_unstable();
    told
}

#[test]
fn a_change_moves_updated_at_strictly_forward_also_within_a_transaction_and_past_a_clock_that_was_ahead() {
    let scene = Scene::with_beacons();
    let mut session = scene.session();
    session.run("BEGIN");
    let mut times: Vec<String> = (0..20)
        .flat_map(|_| {
            session.run(
                "UPDATE beacons SET location = 'x', updated_at = '2001-01-01' WHERE minor = 0 RETURNING updated_at",
            )
        })
        .collect();
    session.run("COMMIT");
    drop(session);
    scene.sql(
        "ALTER TABLE beacons DISABLE TRIGGER beacons_stamp;
        UPDATE beacons SET updated_at = '2090-01-01 00:00:00Z' WHERE minor = 0;
        ALTER TABLE beacons ENABLE ALWAYS TRIGGER beacons_stamp",
    );
    times.push(scene.sql("UPDATE beacons SET location = 'y' WHERE minor = 0 RETURNING updated_at"));
    assert_eq!(times[20], "2090-01-01 00:00:00.000001+00");
    assert!(times.is_sorted_by(|earlier, later| earlier < later), "{times:?}");
}

#[test]
fn an_insert_is_stamped_by_the_servers_clock_whatever_it_says_itself() {
    let scene = Scene::new();
    let stamped = scene.sql(
        "INSERT INTO beacons (beacon_id, store_id, major, minor, updated_at) VALUES ('b', 's', 0, 0, '2001-01-01')
        RETURNING updated_at BETWEEN now() AND clock_timestamp()",
    );
    assert_eq!(stamped, "t");
}

#[test]
fn every_kind_of_change_is_told_and_what_changes_nothing_is_not() {
    let scene = Scene::with_beacons();
    let id = |number| beacon_id(number).to_string();
    let one = |number| vec![id(number)];
    let insert = "INSERT INTO beacons (beacon_id, store_id, major, minor) VALUES";
    assert_eq!(told_by(&scene, &format!("{insert} ('{}', 's', 0, 0)", id(9))), one(9));
    assert_eq!(
        told_by(&scene, &format!("{insert} ('{}', 's', 0, 0) ON CONFLICT DO NOTHING", id(9))),
        [""; 0]
    );
    assert_eq!(told_by(&scene, "UPDATE beacons SET status = 'inactive' WHERE minor = 1"), one(1));
    assert_eq!(told_by(&scene, "DELETE FROM beacons WHERE minor = 1"), one(1));
    let rename = format!("UPDATE beacons SET beacon_id = '{}' WHERE minor = 2", id(8));
    assert_eq!(told_by(&scene, &rename), [id(2), id(8)]);
    assert_eq!(told_by(&scene, "TRUNCATE beacons CASCADE"), [0, 3, 8, 9].map(id));
}

#[test]
fn what_is_gone_is_kept_with_a_time_past_its_last_change() {
    let scene = Scene::with_beacons();
    let kept = || scene.sql("SELECT beacon_id FROM beacon_deletions ORDER BY 1");
    let id = |number| beacon_id(number).to_string();
    let last = scene.sql("DELETE FROM beacons WHERE minor = 1 RETURNING updated_at");
    assert_eq!(scene.sql(&format!("SELECT deleted_at > '{last}' FROM beacon_deletions")), "t");
    scene.sql(&format!("UPDATE beacons SET beacon_id = '{}' WHERE minor = 2", id(8)));
    assert_eq!(kept(), [id(1), id(2)].join("\n"));
    scene.sql("TRUNCATE beacons CASCADE");
    assert_eq!(kept(), [id(0), id(1), id(2), id(3), id(8)].join("\n"));
}

#[test]
fn a_role_that_may_delete_beacons_needs_no_right_on_what_is_kept_and_cannot_put_a_table_in_its_place() {
    let scene = Scene::with_beacons();
    let role = scene.role(&["GRANT SELECT, DELETE ON beacons TO %"]);
    let url = scene.url_as(&role);
    let own = "CREATE TEMP TABLE beacon_deletions (beacon_id TEXT PRIMARY KEY, deleted_at TIMESTAMPTZ);
        GRANT ALL ON beacon_deletions TO PUBLIC";
    crate::psql::run(&url, &format!("{own}; DELETE FROM beacons WHERE minor = 1")).unwrap();
    assert_eq!(scene.sql("SELECT beacon_id FROM beacon_deletions"), beacon_id(1).to_string());
}

#[test]
fn beacons_do_not_go_while_a_writer_holds_the_guard_also_in_a_session_without_triggers() {
    let scene = Scene::with_beacons();
    let mut writer = scene.session();
    writer.run("BEGIN; SELECT pg_advisory_xact_lock_shared(1650683492)");
    let goes = [
        "DELETE FROM beacons WHERE minor = 1",
        "UPDATE beacons SET beacon_id = 'other' WHERE minor = 1",
        "TRUNCATE beacons CASCADE",
    ];
    let waiting = |role: &str, change: &str| {
        scene.try_sql(&format!("SET session_replication_role = {role}; SET lock_timeout = '100ms'; {change}"))
    };
    for (role, change) in ["origin", "replica"].into_iter().flat_map(|role| goes.map(|change| (role, change)))
    {
        let error = waiting(role, change).unwrap_err();
        assert!(error.contains("lock timeout"), "{role}, {change}: {error}");
    }
    waiting("origin", "UPDATE beacons SET status = 'inactive' WHERE minor = 1").unwrap();
    writer.run("COMMIT");
    waiting("origin", goes[0]).unwrap();
}
