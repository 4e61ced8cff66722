//! Behaviour of the window a reader should know, an example each.

use super::*;

const MINUTE_US: i64 = SPACING_US;
const HORIZON_US: i64 = 15 * MINUTE_US;
const MAX_AHEAD_US: i64 = 5 * MINUTE_US;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn beacon(number: u8) -> BeaconId {
    BeaconId::from_bytes([number; 16])
}

fn key(customer: u64) -> CustomerKey {
    CustomerHasher::new([7; 16]).key(&customer.to_le_bytes())
}

fn window(max_entries: usize) -> DuplicateWindow {
    DuplicateWindow::new(WindowLimits::new(HORIZON_US, MAX_AHEAD_US, max_entries))
}

fn accept(window: &mut DuplicateWindow, customer: u64, detected_us: i64, accepted_us: i64) -> Position {
    window.accept(key(customer), at(detected_us), &beacon(1), at(accepted_us)).unwrap()
}

#[test]
fn the_minute_is_open_at_both_ends_and_counts_in_both_directions() {
    for detected_us in [0, 1_790_000_000_000_000, -30_000_000, 59_999_999] {
        let mut window = window(10);
        let position = accept(&mut window, 1, detected_us, detected_us);
        for (off_us, expected) in [
            (-MINUTE_US, Standing::Clear),
            (1 - MINUTE_US, Standing::Duplicate(position)),
            (-1, Standing::Duplicate(position)),
            (0, Standing::Redelivery(position)),
            (MINUTE_US - 1, Standing::Duplicate(position)),
            (MINUTE_US, Standing::Clear),
        ] {
            assert_eq!(window.check(key(1), at(detected_us + off_us), &beacon(1)), expected, "{off_us}");
            assert_eq!(window.check(key(2), at(detected_us + off_us), &beacon(1)), Standing::Clear);
        }
        assert_eq!(window.check(key(1), at(detected_us), &beacon(2)), Standing::Duplicate(position));
    }
}

#[test]
fn between_two_identities_the_durable_one_is_named() {
    let mut window = window(10);
    let later = accept(&mut window, 1, 70_000_000, 0);
    let earlier = accept(&mut window, 1, 0, 0);
    let between = |window: &DuplicateWindow| window.check(key(1), at(35_000_000), &beacon(1));
    assert_eq!(between(&window), Standing::Duplicate(later), "the first accepted while both are pending");
    window.durable(later.after());
    assert_eq!(between(&window), Standing::Duplicate(later));
    assert!(window.is_pending(earlier) && !window.is_pending(later));
}

#[test]
fn a_roll_back_undoes_what_is_pending_and_gives_its_positions_again() {
    let mut window = window(10);
    assert_eq!(window.next_position(), Position(0));
    let first = accept(&mut window, 1, 0, 0);
    window.durable(first.after());
    let undone = accept(&mut window, 2, 0, 0);
    accept(&mut window, 3, 0, 0);
    assert_eq!((window.pending(), window.roll_back()), (2, 2));
    assert_eq!((window.pending(), window.len(), window.next_position()), (0, 1, first.after()));
    assert_eq!(window.check(key(2), at(0), &beacon(1)), Standing::Clear);
    assert_eq!(accept(&mut window, 4, 0, 0), undone);
    assert_eq!(window.roll_back(), 1);
    assert_eq!(window.roll_back(), 0);
}

/// Why an entry stays longer than the horizon after its acceptance: it was detected five minutes ahead,
/// and a sighting fresh a horizon later lies 59 s from it.
#[test]
fn an_identity_detected_ahead_stays_while_a_fresh_sighting_conflicts_with_it() {
    let mut window = window(10);
    let detected_us = MAX_AHEAD_US;
    let position = accept(&mut window, 1, detected_us, 0);
    window.stored(position.after());

    let past_horizon_us = HORIZON_US + 1;
    let fresh_us = detected_us + 59_000_000;
    assert!(window.is_fresh(at(fresh_us), at(past_horizon_us)));
    assert_eq!(window.expire(at(past_horizon_us), 10), 0, "accepted over the horizon ago, and stored");
    assert_eq!(window.check(key(1), at(fresh_us), &beacon(1)), Standing::Duplicate(position));

    let retention_us = WindowLimits::new(HORIZON_US, MAX_AHEAD_US, 10).retention_us();
    assert_eq!(retention_us, 21 * MINUTE_US);
    assert!(window.is_fresh(at(fresh_us), at(retention_us - 1_000_000)));
    assert_eq!(window.expire(at(retention_us - 1), 10), 0);
    assert_eq!(window.expire(at(retention_us), 10), 1);
    assert!(!window.is_fresh(at(fresh_us), at(retention_us)));
}

#[test]
fn a_late_identity_stays_for_the_horizon_after_its_acceptance() {
    let mut window = window(10);
    let position = accept(&mut window, 1, -100 * MINUTE_US, 0);
    window.stored(position.after());
    assert_eq!(window.expire(at(HORIZON_US), 10), 0);
    assert_eq!(window.expire(at(HORIZON_US + 1), 10), 1);
}

#[test]
fn what_is_not_stored_never_leaves() {
    let mut window = window(10);
    let first = accept(&mut window, 1, 0, 0);
    let second = accept(&mut window, 2, 0, 0);
    window.durable(second.after());
    assert_eq!(window.expire(at(i64::MAX), 10), 0);
    window.stored(first.after());
    assert_eq!(window.expire(at(i64::MAX), 10), 1);
    assert_eq!(window.check(key(2), at(0), &beacon(1)), Standing::Redelivery(second));
}

#[test]
fn after_the_clock_was_set_back_nothing_is_fresh_that_could_conflict_with_what_left() {
    let mut window = window(10);
    let position = accept(&mut window, 1, 0, 0);
    window.stored(position.after());
    assert_eq!(window.expire(at(HORIZON_US + MINUTE_US), 10), 1);
    let set_back = at(HORIZON_US);
    assert!(!window.is_fresh(at(MINUTE_US - 1), set_back));
    assert!(window.is_fresh(at(MINUTE_US), set_back));
}

#[test]
fn a_window_that_starts_without_the_past_calls_it_late() {
    let mut window = window(10);
    window.unknown_before(at(MAX_AHEAD_US + MINUTE_US));
    assert!(!window.is_fresh(at(MAX_AHEAD_US + MINUTE_US - 1), at(MAX_AHEAD_US)));
    assert!(window.is_fresh(at(MAX_AHEAD_US + MINUTE_US), at(MAX_AHEAD_US)));
    window.unknown_before(at(0));
    assert!(!window.is_fresh(at(0), at(0)), "it does not learn of the past again");
}

#[test]
fn the_last_eighth_is_kept_from_late_sightings_and_a_full_window_takes_none() {
    let mut window = window(16);
    for customer in 0..14 {
        assert!(window.late_has_room());
        accept(&mut window, customer, 0, 0);
    }
    assert!(!window.late_has_room());
    accept(&mut window, 14, 0, 0);
    let last = accept(&mut window, 15, 0, 0);
    assert_eq!(window.accept(key(16), at(0), &beacon(1), at(0)), Err(Full));
    assert_eq!((window.len(), window.next_position()), (16, last.after()));
    assert_eq!(window.check(key(16), at(0), &beacon(1)), Standing::Clear);
    window.stored(last.after());
    window.expire(at(i64::MAX), 2);
    assert!(!window.late_has_room());
    window.expire(at(i64::MAX), 1);
    assert!(window.late_has_room());
}

/// The index asks about a customer's entries in three minutes, not about all: so one with identities in
/// each of 10,000 minutes is decided like anybody.
#[test]
fn a_customer_with_ten_thousand_identities_costs_a_check_no_more() {
    let mut window = window(20_000);
    for minute in 0..10_000 {
        accept(&mut window, 1, minute * MINUTE_US, 0);
    }
    let mut most = 0;
    for minute in -5..10_005 {
        let mut asked = 0;
        let found = window.index.find(key(1), minute, |_| {
            asked += 1;
            false
        });
        assert_eq!(found, None);
        most = most.max(asked);
    }
    // Its own three, and now and then one that shares a mark.
    assert!((3..=5).contains(&most), "asked about {most}");
}

#[test]
fn a_hundred_thousand_customers_are_each_found_and_memory_is_given_back() {
    const CUSTOMERS: u64 = 100_000;
    let mut window = window(200_000);
    let detected_us = |customer: u64| customer.cast_signed() % 1000 * 7_000_003;
    for customer in 0..CUSTOMERS {
        accept(&mut window, customer, detected_us(customer), 0);
    }
    let full_bytes = window.memory_bytes();
    assert!(full_bytes < 64 * 100_000 + (2 << 20), "{full_bytes}");
    for customer in 0..CUSTOMERS {
        let near = at(detected_us(customer) + (customer.cast_signed() % 2 * 2 - 1) * (MINUTE_US - 1));
        window.read_ahead(key(customer), near);
        assert_eq!(window.check(key(customer), near, &beacon(1)), Standing::Duplicate(Position(customer)));
        assert_eq!(window.check(key(customer + CUSTOMERS), near, &beacon(1)), Standing::Clear);
    }
    window.stored(Position(CUSTOMERS));
    while window.expire(at(i64::MAX), 1000) > 0 {}
    assert!(window.is_empty());
    // One table at most is rebuilt in a call.
    (0..256).for_each(|_| assert_eq!(window.expire(at(i64::MAX), 1000), 0));
    assert!(window.memory_bytes() < 3 << 20, "{} of {full_bytes}", window.memory_bytes());
}

#[test]
fn entries_leave_early_only_if_stored_and_what_could_conflict_is_late_then() {
    let mut window = window(10);
    let first = accept(&mut window, 1, 0, 0);
    accept(&mut window, 2, 1, 1);
    window.durable(first.after());
    assert_eq!(window.expire_early(at(2_000), at(1_000), 10), 0, "nothing is stored");
    window.stored(first.after());
    assert_eq!(window.expire_early(at(2_000), at(0), 10), 0, "too young");
    assert_eq!(window.expire_early(at(2_000), at(1_000), 10), 1);
    assert_eq!((window.first_position(), window.known_from()), (first.after(), at(MINUTE_US)));
    assert!(!window.is_fresh(at(MINUTE_US - 1), at(MINUTE_US)));
    assert!(window.is_fresh(at(MINUTE_US), at(MINUTE_US)));
}

#[test]
fn restored_entries_know_no_limit_and_are_pending_until_durable() {
    let mut window = window(1);
    for customer in 0..3 {
        window.restore(key(customer), at(0), &beacon(1), at(0));
    }
    assert_eq!((window.len(), window.pending()), (3, 3));
    assert_eq!(window.check(key(2), at(5), &beacon(1)), Standing::Duplicate(Position(2)));
    assert_eq!(window.accept(key(9), at(0), &beacon(1), at(0)), Err(Full));
}

#[test]
fn entries_of_a_clock_that_was_set_back_leave_early() {
    let mut window = window(10);
    let first = accept(&mut window, 1, 5_000, 5_000);
    window.stored(first.after());
    assert_eq!(window.expire_early(at(5_000), at(0), 10), 0, "it was accepted just now");
    assert_eq!(window.expire_early(at(4_999), at(0), 10), 1);
}
