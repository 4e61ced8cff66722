//! Partitions are there before they are needed, whoever makes them.

use std::thread;
use std::time::Duration;

use beacond::stores::postgres::TableCare;
use beacond::tasks::TaskGroup;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::scene::{PATIENCE, Scene, runtime};

const BOUNDS: &str = "SELECT relname || ' ' || pg_get_expr(relpartbound, oid) FROM pg_class
    WHERE relispartition AND relkind = 'r' ORDER BY 1";
const DROP_ALL: &str = "DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'customer_identities'::regclass
    LOOP EXECUTE 'DROP TABLE ' || name; END LOOP; END $$";

fn year(scene: &Scene) -> i32 {
    scene.sql("SELECT extract(year FROM now() AT TIME ZONE 'UTC')::int").parse().unwrap()
}

fn expected(year: i32) -> String {
    let bounds = |year| {
        format!(
            "customer_identities_{year} FOR VALUES FROM ('{year}-01-01 00:00:00+00') TO ('{}-01-01 00:00:00+00')",
            year + 1
        )
    };
    format!("{}\n{}", bounds(year), bounds(year + 1))
}

#[test]
fn a_migration_makes_this_year_and_the_next_by_utc_whatever_the_servers_zone() {
    let scene = Scene::empty();
    let name = scene.sql("SELECT current_database()");
    scene.sql(&format!("ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'"));
    scene.admin().migrate().unwrap();
    assert_eq!(scene.sql(BOUNDS), expected(year(&scene)));
}

#[test]
fn of_makers_that_meet_none_fails_and_each_partition_is_made_once() {
    let scene = Scene::new();
    scene.sql(DROP_ALL);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(scene.admin().migrate().unwrap(), []));
        }
    });
    assert_eq!(scene.sql(BOUNDS), expected(year(&scene)));
}

#[test]
fn a_table_in_a_partitions_place_is_named() {
    let scene = Scene::new();
    let name = format!("customer_identities_{}", year(&scene));
    scene.sql(&format!("ALTER TABLE customer_identities DETACH PARTITION {name}"));
    let error = scene.admin().migrate().unwrap_err().to_string();
    assert!(error.contains(&format!("{name} is not attached")), "{error}");
}

#[test]
fn the_daily_care_makes_partitions_and_drops_deletions_that_no_cache_can_miss_any_more() {
    let scene = Scene::new();
    scene.sql(DROP_ALL);
    scene.sql("INSERT INTO beacon_deletions VALUES ('old', now() - INTERVAL '27 hours'), ('new', now() - INTERVAL '25 hours')");
    let (tasks, cancel) = (TaskGroup::new("test"), CancellationToken::new());
    runtime().block_on(async {
        let care = TableCare::new(&scene.settings()).unwrap();
        tasks.spawn(care.run(tasks.clone(), cancel.clone()));
        let deadline = Instant::now() + PATIENCE;
        while scene.sql("SELECT string_agg(beacon_id, ' ') FROM beacon_deletions") != "new" {
            assert!(Instant::now() < deadline, "the old deletion is still there");
            sleep(Duration::from_millis(20)).await;
        }
        cancel.cancel();
        assert!(tasks.join(PATIENCE).await);
    });
    assert_eq!(scene.sql(BOUNDS), expected(year(&scene)));
}
