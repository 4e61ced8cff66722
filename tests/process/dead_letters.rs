//! Dead letters from refusal to replay and purge, by the commands an operator has.

use serde_json::Value;

use crate::harness::frames;
use crate::harness::home::Home;
use crate::harness::store;
use crate::model::generated::heard;
use crate::scene::table;

/// The exit code where no daemon can be asked.
const UNAVAILABLE: i32 = 69;

/// Has the store refuse a customer, or take everybody again.
fn refuse(home: &Home, customer: Option<&str>) {
    let store = store::connect(&home.data());
    store.execute_batch("DROP TRIGGER IF EXISTS refusing").unwrap();
    if let Some(customer) = customer {
        let trigger = format!(
            "CREATE TRIGGER refusing BEFORE INSERT ON customer_identities WHEN NEW.customer_id = '{customer}' \
             BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        );
        store.execute_batch(&trigger).unwrap();
    }
}

fn json(home: &Home, arguments: &[&str]) -> Value {
    let said = home.beacond(&[&["dead-letter"], arguments, &["--json"]].concat()).succeeded().stdout;
    serde_json::from_str(&said).unwrap()
}

#[test]
fn a_refused_row_is_listed_replayed_once_the_store_takes_it_and_purged_where_it_never_does() {
    let home = Home::with_beacons(&[table()]);
    let daemon = home.serve();
    let mut gateway = daemon.tcp_session("gateway");
    let mut ask = |sequence: u64, customers: &[&str]| {
        let now = crate::harness::now_us();
        let seen: Vec<_> =
            customers.iter().map(|customer| heard((*customer).into(), now, &table(), -40)).collect();
        let record = gateway.ask(&frames::sightings(sequence, &seen));
        assert_eq!(record.outcomes(), [("identified", u16::try_from(customers.len()).unwrap())]);
        record.dead_lettered
    };
    refuse(&home, Some("alice"));
    assert_eq!(ask(1, &["bob", "alice"]), 1);
    let listed = json(&home, &["list"]);
    let letter = &listed[0];
    assert_eq!((listed.as_array().unwrap().len(), &letter["store"]), (1, &"sqlite".into()));
    assert_eq!(
        (&letter["entry"], &letter["row"], &letter["customer_id"]),
        (&1.into(), &1.into(), &"alice".into())
    );

    // Refused again, it is a letter again.
    assert_eq!(json(&home, &["replay"])["replayed"], 1);
    daemon.wait_for_stats("refused again", |stats| stats.store("dead_lettered") == 2);
    assert_eq!(json(&home, &["list"])[0]["entry"], 2);
    refuse(&home, None);
    assert_eq!(json(&home, &["replay", "--store", "dynamodb"])["replayed"], 0);
    assert_eq!(json(&home, &["replay", "--limit", "5"])["replayed"], 1);
    let stats = daemon.wait_for_stats("stored at last", |stats| stats.store("stored") == 2);
    assert_eq!((stats.store("replayed"), stats.store("waiting")), (2, 0));
    assert_eq!(json(&home, &["list"]), serde_json::json!([]));
    assert_eq!(store::tables(&home.data()).identities.len(), 2);

    refuse(&home, Some("carol"));
    assert_eq!(ask(2, &["carol"]), 1);
    assert_eq!(json(&home, &["purge", "--before", "2020-01-01"])["purged"], 0);
    assert_eq!(json(&home, &["purge", "--all", "--store", "sqlite"])["purged"], 1);
    refuse(&home, Some("dave"));
    assert_eq!(ask(3, &["dave"]), 1);
    daemon.stop();

    let said = home.beacond(&["dead-letter", "replay"]).failed_in_one_line(UNAVAILABLE);
    assert!(said.contains("running"), "{said}");
    assert_eq!(json(&home, &["list"]).as_array().unwrap().len(), 1);
    assert_eq!(json(&home, &["purge", "--all"])["purged"], 1);
    assert_eq!(json(&home, &["list"]), serde_json::json!([]));
}

#[test]
fn a_purge_says_which_letters() {
    let home = Home::new();
    assert_eq!(home.beacond(&["dead-letter", "purge"]).code, Some(64), "all of them is to be said");
    let wrong = home.beacond(&["dead-letter", "purge", "--before", "yesterday"]);
    assert_eq!(wrong.code, Some(64), "{}", wrong.stderr);
}
