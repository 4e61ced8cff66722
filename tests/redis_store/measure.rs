//! What moving only forward costs: the adapter beside plain HSETs over one connection, and by rows a round trip.

use std::time::{Duration, Instant};

use beacond::ports::LatestIdentities;
use beacond::stores::redis::RedisSettings;

use crate::scene::{Scene, block, identity, settings};
use crate::server::Server;

/// Few enough to be written in what a stop allows.
const ROWS: usize = 100_000;
const ROWS_A_BLOCK: usize = 20;
const ROUNDS: usize = 5;

fn rows_per_second(took: Duration) -> f64 {
    100_000.0 / took.as_secs_f64()
}

/// Plain commands, as many a round trip, with and without an EXPIRE each.
async fn plain(server: &Server, batch_rows: usize, expire: bool) -> Duration {
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let rows: Vec<_> = (0..ROWS).map(|number| identity(&format!("customer-{number:07}"), 0)).collect();
    let began = Instant::now();
    for rows in rows.chunks(batch_rows) {
        let mut pipeline = redis::Pipeline::with_capacity(rows.len());
        for row in rows {
            let key = format!("customer:{}", row.customer_id.as_str());
            let location = row.location.as_ref().unwrap();
            pipeline
                .cmd("HSET")
                .arg(&key)
                .arg("location")
                .arg(location.as_str())
                .arg("confidence")
                .arg(row.confidence.as_f32().to_string())
                .arg("detected_at")
                .arg(row.detected_at.to_text().as_str())
                .ignore();
            if expire {
                pipeline.cmd("EXPIRE").arg(&key).arg(3_600).ignore();
            }
        }
        pipeline.query_async::<()>(&mut connection).await.unwrap();
    }
    began.elapsed()
}

/// The adapter, from the first block offered to the last one written.
async fn adapter(server: &Server, batch_rows: usize) -> Duration {
    let scene = Scene::start(&RedisSettings {
        customers_queued: ROWS,
        customers_batch_rows: batch_rows,
        ..settings(&server.url())
    });
    scene.until_up().await;
    let blocks: Vec<_> = (0..ROWS / ROWS_A_BLOCK)
        .map(|of| {
            let numbers = of * ROWS_A_BLOCK..(of + 1) * ROWS_A_BLOCK;
            block(numbers.map(|number| identity(&format!("customer-{number:07}"), 0)).collect())
        })
        .collect();
    let began = Instant::now();
    scene.redis.customers.stored(&blocks);
    let counts = scene.finish().await;
    let took = began.elapsed();
    assert_eq!(counts.customers_written, ROWS as u64);
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: cargo nextest run -p beacond --test redis_store --run-ignored only --no-capture"]
async fn scripts_beside_plain_commands() {
    let server = Server::start();
    println!("median of {ROUNDS} rounds, rows/s: rows a round trip, HSET, HSET and EXPIRE, the adapter");
    for batch_rows in [16, 64, 256, 512, 1_024, 4_096] {
        let mut took: [Vec<Duration>; 3] = Default::default();
        for _ in 0..ROUNDS {
            for (way, took) in took.iter_mut().enumerate() {
                server.cli(&["FLUSHALL"]);
                took.push(match way {
                    0 => plain(&server, batch_rows, false).await,
                    1 => plain(&server, batch_rows, true).await,
                    _ => adapter(&server, batch_rows).await,
                });
            }
        }
        let [plain, expiring, adapter] = took.map(|mut took| {
            took.sort_unstable();
            rows_per_second(took[ROUNDS / 2])
        });
        println!("{batch_rows:>5} {plain:>10.0} {expiring:>10.0} {adapter:>10.0}  {:.2}", adapter / expiring);
        assert_eq!(server.cli(&["DBSIZE"]), ROWS.to_string());
    }
}
