//! Questions are answered with what other clients wrote, or with why they are not, in time.

use std::time::{Duration, Instant};

use beacond::domain::beacon::BeaconStatus;
use beacond::domain::location::LocationType;
use beacond::ports::{StoreError, SystemOfRecord};
use beacond::stores::postgres::PostgresReaderSettings;
use tokio::time::timeout;

use crate::scene::{
    NOON_US, PATIENCE, Scene, beacon_id, customer, reader, reader_settings, runtime, settings, time,
};

/// Times of one customer at beacon 0, in microseconds since noon.
fn insert_identities(scene: &Scene, customer: &str, after_noon_us: &[i64]) {
    scene.sql(&format!("INSERT INTO customers VALUES ('{customer}', now())"));
    for after_us in after_noon_us {
        scene.sql(&format!(
            "INSERT INTO customer_identities (customer_id, beacon_id, location, confidence, detected_at)
            VALUES ('{customer}', '{}', 'Table 9', 0.875,
                '2026-05-01 12:00:00Z'::timestamptz + INTERVAL '{after_us} microseconds')",
            beacon_id(0)
        ));
    }
}

/// Partitions for the times of these tests, whatever year it is.
fn scene() -> Scene {
    let scene = Scene::with_beacons();
    for year in [2025, 2026] {
        scene.sql(&format!(
            "CREATE TABLE IF NOT EXISTS customer_identities_{year} PARTITION OF customer_identities
            FOR VALUES FROM ('{year}-01-01Z') TO ('{}-01-01Z')",
            year + 1
        ));
    }
    scene
}

#[test]
fn a_beacon_is_read_as_psql_wrote_it() {
    let scene = scene();
    let updated = scene.sql(&format!(
        "INSERT INTO beacons (beacon_id, store_id, major, minor, location, location_type, status)
        VALUES ('{}', 'store-ü', 65535, 7, NULL, 'counter', 'maintenance')
        RETURNING to_char(updated_at, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
        beacon_id(9)
    ));
    runtime().block_on(async {
        let reader = reader(&scene.settings(), reader_settings()).unwrap();
        let read = reader.beacon(beacon_id(9)).await.unwrap().unwrap();
        assert_eq!((read.id, read.store_id.as_str()), (beacon_id(9), "store-ü"));
        assert_eq!((read.major, read.minor), (65535, 7));
        assert_eq!((read.location, read.location_type), (None, Some(LocationType::Counter)));
        assert_eq!((read.status, read.updated_at.to_string()), (BeaconStatus::Maintenance, updated));
        assert_eq!(reader.beacon(beacon_id(10)).await.unwrap(), None);
    });
}

#[test]
fn a_gateway_is_read_as_psql_wrote_it() {
    let scene = scene();
    scene.sql("INSERT INTO gateways VALUES ('g1', '{store-1,store-2}'), ('g2', '{}')");
    scene.sql("INSERT INTO gateways VALUES ('g3', '{NULL}')");
    runtime().block_on(async {
        let reader = reader(&scene.settings(), reader_settings()).unwrap();
        let gateway = async |id: &str| reader.gateway(id.parse().unwrap()).await;
        let read = gateway("g1").await.unwrap().unwrap();
        assert!(
            read.may_report(&"store-2".parse().unwrap()) && !read.may_report(&"store-3".parse().unwrap())
        );
        assert!(!gateway("g2").await.unwrap().unwrap().may_report(&"store-1".parse().unwrap()));
        assert!(matches!(gateway("g3").await, Err(StoreError::BadRow { .. })));
        assert_eq!(gateway("g4").await.unwrap(), None);
    });
}

#[test]
fn identities_under_a_minute_away_are_found_for_every_pair_once() {
    let scene = scene();
    let second = 1_000_000;
    let days = -121 * 24 * 3_600 * second;
    insert_identities(&scene, "a", &[-60 * second, -60 * second + 1, 0, 59 * second, 120 * second]);
    insert_identities(&scene, "b", &[days + 12 * 3_600 * second - 1, days + 12 * 3_600 * second]);
    insert_identities(&scene, "c", &[0]);
    runtime().block_on(async {
        let reader = reader(&scene.settings(), reader_settings()).unwrap();
        let new_year = time(days + 12 * 3_600 * second);
        let asked = vec![
            (customer("b"), new_year),
            (customer("a"), time(0)),
            (customer("a"), time(30 * second)),
            (customer("nobody"), time(0)),
        ];
        let mut found = reader.identities_near(asked).await.unwrap();
        found.sort_by_key(|identity| (identity.customer_id.clone(), identity.detected_at));
        let times: Vec<_> = found
            .iter()
            .map(|identity| (identity.customer_id.as_str(), identity.detected_at.as_micros() - NOON_US))
            .collect();
        let midnight = days + 12 * 3_600 * second;
        assert_eq!(
            times,
            [("a", -60 * second + 1), ("a", 0), ("a", 59 * second), ("b", midnight - 1), ("b", midnight)]
        );
        assert_eq!(found[0].beacon_id, beacon_id(0));
        assert_eq!(found[0].location.as_ref().unwrap().as_str(), "Table 9");
        assert!((found[0].confidence.as_f32() - 0.875).abs() < f32::EPSILON);
        assert!(new_year.to_string().starts_with("2026-01-01T00:00:00"));
        assert_eq!(reader.identities_near(Vec::new()).await.unwrap(), []);
    });
}

#[test]
fn the_newest_identity_is_the_latest_of_all_partitions() {
    let scene = scene();
    runtime().block_on(async {
        let reader = reader(&scene.settings(), reader_settings()).unwrap();
        assert_eq!(reader.newest_identity().await.unwrap(), None);
        insert_identities(&scene, "a", &[5, -200 * 24 * 3_600 * 1_000_000]);
        assert_eq!(reader.newest_identity().await.unwrap(), Some(time(5)));
    });
}

#[test]
fn a_row_that_breaks_the_model_is_named_without_its_customer() {
    let scene = scene();
    scene.sql("UPDATE beacons SET location = E'a\\tb' WHERE minor = 1");
    scene.sql("INSERT INTO beacons (beacon_id, store_id, major, minor) VALUES ('none', 's', 0, 0)");
    scene.sql("INSERT INTO customers VALUES ('somebody', now())");
    let row = scene.sql(
        "INSERT INTO customer_identities (customer_id, beacon_id, confidence, detected_at)
        VALUES ('somebody', 'none', 0.9, '2026-05-01 12:00:00Z') RETURNING id",
    );
    runtime().block_on(async {
        let reader = reader(&scene.settings(), reader_settings()).unwrap();
        let error = reader.beacon(beacon_id(1)).await.unwrap_err();
        assert!(matches!(error, StoreError::BadRow { .. }));
        assert!(error.to_string().contains(&format!("beacon {}: location: ", beacon_id(1))), "{error}");
        let error = reader.identities_near(vec![(customer("somebody"), time(0))]).await.unwrap_err();
        assert!(matches!(error, StoreError::BadRow { .. }));
        assert!(error.to_string().contains(&format!("customer identity {row}: beacon_id: ")), "{error}");
        assert!(!error.to_string().contains("somebody"), "{error}");
    });
}

#[test]
fn a_question_that_meets_a_lock_is_given_up_in_time_here_and_there_and_others_are_answered() {
    let scene = scene();
    let mut locker = scene.session();
    locker.run("BEGIN; LOCK TABLE beacons IN ACCESS EXCLUSIVE MODE");
    let quick = PostgresReaderSettings { question_timeout: Duration::from_secs(1), ..reader_settings() };
    runtime().block_on(async {
        let reader = reader(&scene.settings(), quick).unwrap();
        for _ in 0..4 {
            let asked = Instant::now();
            let error = reader.beacon(beacon_id(1)).await.unwrap_err();
            assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
            assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
            assert_eq!(reader.newest_identity().await.unwrap(), None);
        }
        let backends = "SELECT count(*) <= 6 FROM pg_stat_activity
            WHERE application_name = 'beacond' AND datname = current_database()";
        assert_eq!(scene.sql(backends), "t");
        locker.run("COMMIT");
        timeout(PATIENCE, async { while reader.beacon(beacon_id(1)).await.is_err() {} }).await.unwrap();
    });
}

#[test]
fn questions_past_the_bound_are_refused_at_once() {
    let scene = scene();
    let mut locker = scene.session();
    locker.run("BEGIN; LOCK TABLE beacons IN ACCESS EXCLUSIVE MODE");
    let few = PostgresReaderSettings { questions: 1, question_timeout: PATIENCE, ..reader_settings() };
    runtime().block_on(async {
        let reader = reader(&scene.settings(), few).unwrap();
        let mut waiting = reader.beacon(beacon_id(1));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        let refused = timeout(PATIENCE / 2, reader.beacon(beacon_id(2))).await.unwrap().unwrap_err();
        assert!(refused.to_string().contains("too many questions"), "{refused}");
        drop(waiting);
        assert_eq!(reader.newest_identity().await.unwrap(), None);
        locker.run("COMMIT");
    });
}

#[test]
fn a_server_that_is_gone_is_said_with_the_reason_and_asked_again_when_it_returns() {
    let scene = scene();
    let (proxy, url) = scene.proxied();
    let quick = PostgresReaderSettings { question_timeout: Duration::from_secs(1), ..reader_settings() };
    runtime().block_on(async {
        let reader = reader(&settings(url), quick).unwrap();
        assert!(reader.beacon(beacon_id(1)).await.unwrap().is_some());
        proxy.cut();
        let error = async {
            loop {
                if let Err(error) = reader.beacon(beacon_id(1)).await {
                    return error;
                }
            }
        };
        let error = timeout(PATIENCE, error).await.unwrap();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
        let error = reader.beacon(beacon_id(1)).await.unwrap_err();
        assert!(error.to_string().contains("connecting"), "{error}");
        proxy.mend();
        timeout(PATIENCE, async { while reader.beacon(beacon_id(1)).await.is_err() {} }).await.unwrap();
    });
}

#[test]
fn beacons_are_read_page_by_page_without_those_that_break_the_model() {
    let scene = scene();
    scene.sql("UPDATE beacons SET location = E'a\\tb' WHERE minor = 2");
    scene.sql("INSERT INTO beacons (beacon_id, store_id, major, minor) VALUES ('none', 's', 0, 0)");
    // A look-up by its id does not find it.
    let in_capitals = beacon_id(0xab).to_string().to_uppercase();
    scene.sql(&format!(
        "INSERT INTO beacons (beacon_id, store_id, major, minor) VALUES ('{in_capitals}', 's', 0, 9)"
    ));
    runtime().block_on(async {
        let reader = reader(&scene.settings(), reader_settings()).unwrap();
        let mut pages = Vec::new();
        let mut after = None;
        loop {
            let page = reader.beacons(after, 2).await.unwrap();
            pages.push(page.beacons.iter().map(|beacon| beacon.minor).collect::<Vec<_>>());
            after = page.next_after;
            if after.is_none() {
                break;
            }
        }
        // The bad one stands beside the third; behind the fourth is only what is left out.
        assert_eq!(pages, [vec![0, 1], vec![3], vec![]]);
    });
}
