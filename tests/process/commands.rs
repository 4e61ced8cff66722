//! Commands beside `serve`: what they print, what they refuse, and their exit codes.

use crate::harness::frames;
use crate::harness::home::Home;
use crate::harness::ledger::Stats;
use crate::model::generated::heard;
use crate::model::tracks::{read_beacons, write_beacons};
use crate::model::{Beacon, Scope};

/// The exit code of a file with an error.
const DATA: i32 = 65;

/// The exit code where no daemon can be asked.
const UNAVAILABLE: i32 = 69;

const BEACON_COLUMNS: &str = "beacon_id,store_id,major,minor,location,location_type,status";
const BEACON: &str = "0db9ba02-25ee-562c-9dee-7afcb156cfba,store100,100,10,Table 3,table,active";

fn beacon(number: u128) -> Beacon {
    Beacon {
        id: uuid::Uuid::from_u128(number),
        store: "Märkte".to_owned(),
        major: 0,
        minor: 65_535,
        location: number.is_multiple_of(2).then(|| "Tisch, \"drei\"".to_owned()),
        location_type: number.is_multiple_of(2).then(|| "counter".to_owned()),
        status: "maintenance".to_owned(),
    }
}

#[test]
fn a_beacon_line_that_is_wrong_is_named_with_its_column_and_nothing_is_imported() {
    let home = Home::new();
    for (line, column) in [
        ("0db9ba02,store100,100,10,Table 3,table,active", "beacon_id"),
        ("56be58fb-c763-5f9b-8e13-b787773cb9fb,,100,10,Table 3,table,active", "store_id"),
        ("56be58fb-c763-5f9b-8e13-b787773cb9fb,s,65536,10,Table 3,table,active", "major"),
        ("56be58fb-c763-5f9b-8e13-b787773cb9fb,s,100,-1,Table 3,table,active", "minor"),
        ("56be58fb-c763-5f9b-8e13-b787773cb9fb,s,100,,Table 3,table,active", "minor"),
        (
            "56be58fb-c763-5f9b-8e13-b787773cb9fb,s,100,10,123456789012345678901234567890123,table,active",
            "location",
        ),
        ("56be58fb-c763-5f9b-8e13-b787773cb9fb,s,100,10,Table 3,chair,active", "location_type"),
        ("56be58fb-c763-5f9b-8e13-b787773cb9fb,s,100,10,Table 3,table,broken", "status"),
    ] {
        let file = home.write("beacons.csv", &format!("{BEACON_COLUMNS}\n{BEACON}\n{line}\n"));
        let said = home.beacond(&["beacon", "import", file.to_str().unwrap()]).failed_in_one_line(DATA);
        for named in ["beacons.csv", "line 3", column] {
            assert!(said.contains(named), "{named} is not in: {said}");
        }
    }
    let listed = home.beacond(&["beacon", "list", "--json"]).succeeded().stdout;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&listed).unwrap(), serde_json::json!([]));
}

#[test]
fn a_file_that_is_no_list_of_beacons_is_named() {
    let home = Home::new();
    let missing = home.path("missing.csv");
    let without_status = home.write("a.csv", "beacon_id,store_id,major,minor,location,location_type\n");
    let short = home.write("b.csv", &format!("{BEACON_COLUMNS}\n{BEACON}\n{},x\n", &BEACON[..40]));
    for (file, named) in
        [(missing, "missing.csv"), (without_status, "status"), (short, "line 3: 3 columns, not the 7")]
    {
        let failed = home.beacond(&["beacon", "import", file.to_str().unwrap()]);
        let said = failed.failed_in_one_line(DATA);
        assert!(said.contains(named) && said.contains(file.to_str().unwrap()), "{said}");
    }
}

#[test]
fn beacons_imported_are_listed_as_they_were() {
    let home = Home::new();
    let beacons = [beacon(1), beacon(2), beacon(3)];
    home.import_beacons(&beacons);
    let listed = home.beacond(&["beacon", "list"]).succeeded().stdout;
    let columns = listed.lines().next().unwrap();
    assert!(columns.starts_with(BEACON_COLUMNS), "{columns}");
    let (sent, back) = (home.path("sent.csv"), home.path("back.csv"));
    write_beacons(&sent, &beacons);
    write_beacons(&back, &read_beacons(&home.write("listed.csv", &listed)));
    assert_eq!(std::fs::read_to_string(back).unwrap(), std::fs::read_to_string(&sent).unwrap());
    // What is listed can be imported, and changes nothing.
    home.import_beacon_file(&home.path("listed.csv"));
    assert_eq!(home.beacond(&["beacon", "list"]).succeeded().stdout, listed);
    let json = home.beacond(&["beacon", "list", "--json"]).succeeded().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 3);
    assert_eq!(json[1]["location"], "Tisch, \"drei\"");
    assert_eq!(json[2]["location_type"], serde_json::Value::Null);
}

#[test]
fn a_gateway_line_that_is_wrong_is_named_with_its_column() {
    let home = Home::new();
    for (line, column) in [(",store100,active", "gateway_id"), ("gateway,store100,sleeping", "status")] {
        let file = home.write("gateways.csv", &format!("gateway_id,stores,status\n{line}\n"));
        let said = home.beacond(&["gateway", "import", file.to_str().unwrap()]).failed_in_one_line(DATA);
        for named in ["gateways.csv", "line 2", column] {
            assert!(said.contains(named), "{named} is not in: {said}");
        }
    }
}

#[test]
fn a_gateway_reports_the_stores_it_is_registered_for_and_none_without() {
    let home = Home::with_beacons(&[Beacon { status: "active".to_owned(), ..beacon(2) }]);
    home.import_gateways(&[("all", &["x", "Märkte"], "active"), ("none", &[], "active")]);
    let daemon = home.serve_with(&[]);
    for (gateway, scope, outcome) in [
        ("all", Scope::Stores(vec!["x".into(), "Märkte".into()]), "identified"),
        ("none", Scope::Stores(vec![]), "forbidden"),
    ] {
        let beacons = [Beacon { status: "active".to_owned(), ..beacon(2) }];
        let seen = heard(b"alice".to_vec(), crate::harness::now_us(), &beacons[0], -40);
        let mut model = crate::model::Model::new(&beacons, &[(gateway.to_owned(), scope)]);
        assert_eq!(model.decide(gateway, &seen, seen.detected_at_us).label(), outcome);
        let record = daemon.tcp_session(gateway).ask(&frames::sightings(1, &[seen]));
        assert_eq!(record.outcomes(), [(outcome, 1)]);
    }
}

#[test]
fn stats_are_those_of_the_daemon_that_runs_on_the_data_directory() {
    let home = Home::with_beacons(&[Beacon { status: "active".to_owned(), ..beacon(2) }]);
    let daemon = home.serve();
    let seen = heard(b"alice".to_vec(), crate::harness::now_us(), &beacon(2), -40);
    daemon.tcp_session("gateway").ask(&frames::sightings(1, &[seen]));
    let stats = Stats::parse(&home.beacond(&["stats", "--json"]).succeeded().stdout);
    stats.assert_balanced();
    assert_eq!((stats.outcome("identified"), stats.store("stored")), (1, 1));
    let text = home.beacond(&["stats"]).succeeded().stdout;
    for named in ["identified", "balances"] {
        assert!(text.contains(named), "{text}");
    }
    daemon.stop();
    let line = home.beacond(&["stats"]).failed_in_one_line(UNAVAILABLE);
    assert!(line.contains(home.data().to_str().unwrap()), "{line}");
}

#[test]
fn stats_without_a_daemon_are_one_line_whatever_an_earlier_one_left() {
    let home = Home::new();
    assert!(home.beacond(&["stats"]).failed_in_one_line(UNAVAILABLE).contains("daemon"));
    home.serve().kill();
    assert!(home.beacond(&["stats", "--json"]).failed_in_one_line(UNAVAILABLE).contains("daemon"));
}
