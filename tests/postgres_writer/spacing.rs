//! Rows under a minute from another of their customer are found, whatever made them.

use beacond::ports::{BatchWriter, Delivery};

use crate::scene::{MINUTE_US, Scene, identified, identity};

/// How many rows are found near after a batch at each of these times after noon, all of one customer.
fn near_rows(batches: &[&[i64]]) -> u64 {
    let scene = Scene::new();
    let mut writer = scene.writer();
    for times in batches {
        let rows = times.iter().map(|at| identity("c", *at, 0)).collect();
        writer.write(&[identified(rows)], Delivery::First).unwrap();
    }
    assert_eq!(scene.count("customer_identities"), batches.iter().map(|times| times.len()).sum::<usize>());
    writer.status().near_rows()
}

#[test]
fn a_row_a_minute_from_others_is_not_near() {
    assert_eq!(near_rows(&[&[0], &[MINUTE_US], &[3 * MINUTE_US, 4 * MINUTE_US], &[2 * MINUTE_US]]), 0);
}

#[test]
fn a_row_under_a_minute_after_or_before_another_is_near() {
    assert_eq!(near_rows(&[&[0], &[MINUTE_US - 1]]), 1);
    assert_eq!(near_rows(&[&[10 * MINUTE_US], &[0], &[MINUTE_US - 1], &[9 * MINUTE_US + 1]]), 2);
}

#[test]
fn two_rows_of_one_batch_are_near_each_other() {
    assert_eq!(near_rows(&[&[0, MINUTE_US - 1, 5 * MINUTE_US]]), 2);
    assert_eq!(near_rows(&[&[0], &[10 * MINUTE_US, 11 * MINUTE_US - 1]]), 2);
}

#[test]
fn a_redelivered_row_is_not_near_itself() {
    assert_eq!(near_rows(&[&[0], &[5 * MINUTE_US]]), 0);
    let scene = Scene::new();
    let mut writer = scene.writer();
    for delivery in [Delivery::First, Delivery::Again] {
        writer.write(&[identified(vec![identity("c", 0, 0)])], delivery).unwrap();
    }
    assert_eq!(writer.status().near_rows(), 0);
}
