//! What the commands say of the stores, and what keeps a daemon from starting on them.

use crate::harness::frames;
use crate::harness::home::{Finished, Home};
use crate::harness::store;
use crate::model::tables::Tables;
use crate::scene::{GATEWAY, Reporter, table};
use crate::stack::{FullStack, Wanted};

/// Exit code of a configuration or a part that is not right.
const CONFIG: i32 = 78;

/// `beacond serve` where it must not come to serving.
#[track_caller]
fn refused_start(home: &Home) -> Finished {
    let addresses = ["--listen-tcp", "127.0.0.1:0", "--listen-udp", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let refused = home.beacond(&[&["serve", "--insecure-dev"], &addresses[..]].concat());
    assert_eq!(refused.code, Some(CONFIG), "{}\n{}", refused.stdout, refused.stderr);
    refused
}

/// The lines of `beacond check`, which comes to this exit code.
#[track_caller]
fn check(home: &Home, code: i32) -> String {
    let checked = home.beacond(&["check"]);
    assert_eq!(checked.code, Some(code), "{}\n{}", checked.stdout, checked.stderr);
    checked.stdout
}

#[test]
fn stores_that_were_not_migrated_are_told_of_by_check_and_refused_by_a_start() {
    let stack = FullStack::bare(Wanted::default());
    let said = check(&stack.home, CONFIG);
    assert!(said.contains("schema") && said.contains("table"), "{said}");
    refused_start(&stack.home);
    stack.home.beacond(&["migrate"]).succeeded();
    // Without being asked to, nobody makes a table that costs money.
    let refused = refused_start(&stack.home);
    assert!(refused.stderr.contains(stack.events.table()), "{}", refused.stderr);
    stack.migrate();
    check(&stack.home, 0);
    let daemon = stack.serve();
    check(&stack.home, 0);
    daemon.stop();
}

#[test]
fn a_migration_run_again_changes_nothing_and_status_says_so() {
    let stack = FullStack::with_beacons(&[table(1)]);
    let schema =
        "SELECT string_agg(table_name || column_name || data_type, ',' ORDER BY table_name, column_name)
                  FROM information_schema.columns WHERE table_schema = 'public'";
    let (schema_before, beacons) = (stack.database.value(schema), stack.database.count("beacons"));
    stack.migrate();
    stack.home.beacond(&["migrate"]).succeeded();
    assert_eq!(stack.database.value(schema), schema_before);
    assert_eq!(stack.database.count("beacons"), beacons);
    let status = stack.home.beacond(&["migrate", "status"]).succeeded().stdout;
    assert!(status.contains("schema"), "{status}");
    assert_eq!(stack.events.rows(), []);
}

#[test]
fn check_has_a_line_for_each_part_and_names_what_is_wrong() {
    let stack = FullStack::with_beacons(&[table(1)]);
    let said = check(&stack.home, 0);
    for part in ["postgres", "redis", "dynamodb", "partitions", "rights", "index"] {
        assert!(said.contains(part), "nothing of {part} in\n{said}");
    }
    for (wrong, named, mend) in [
        (
            "ALTER TABLE customers ALTER COLUMN customer_id TYPE TEXT",
            "customer_id",
            "ALTER TABLE customers ALTER COLUMN customer_id TYPE VARCHAR(64)",
        ),
        (
            "DROP INDEX idx_customer_identities_unique",
            "idx_customer_identities_unique",
            "CREATE UNIQUE INDEX idx_customer_identities_unique ON customer_identities (customer_id, detected_at)",
        ),
        (
            "ALTER TABLE preference_changes RENAME TO preferences_away",
            "preference_changes",
            "ALTER TABLE preferences_away RENAME TO preference_changes",
        ),
    ] {
        stack.database.run(wrong);
        let said = check(&stack.home, CONFIG);
        assert!(said.contains(named), "nothing of {named} in\n{said}");
        let refused = refused_start(&stack.home);
        assert!(refused.stderr.contains(named), "nothing of {named} in\n{}", refused.stderr);
        stack.database.run(mend);
        check(&stack.home, 0);
    }
}

#[test]
fn another_number_of_suffixes_than_the_tables_is_refused() {
    let stack = FullStack::wanted(Wanted { suffixes: 4, ..Wanted::default() }, &[table(1)]);
    let other = stack.home_with(&stack.database.url(), 8);
    let said = check(&other, CONFIG);
    assert!(said.contains('4') && said.contains('8'), "{said}");
    let refused = refused_start(&other);
    assert!(refused.stderr.contains('4') && refused.stderr.contains('8'), "{}", refused.stderr);
    let daemon = stack.serve();
    let mut reporter = Reporter::open(&daemon, &[table(1)]);
    let frame: Vec<_> = (0..40).map(|_| reporter.strong(&table(1))).collect();
    assert_eq!(reporter.ask(&frame), [("identified", 40)]);
    stack.assert_holds(&reporter.model, "with its own");
    daemon.stop();
}

#[test]
fn a_store_without_a_url_is_refused() {
    for (store, toml) in
        [("postgres", "[stores]\nrecord = \"postgres\"\n"), ("redis", "[stores]\ncache = \"redis\"\n")]
    {
        let home = Home::configured(Some(toml), Vec::new());
        let refused = refused_start(&home);
        let variable = format!("BEACOND_{}_URL", store.to_uppercase());
        assert!(refused.stderr.contains(&variable), "{}", refused.stderr);
    }
}

#[test]
fn a_password_in_a_url_is_never_said() {
    let url = "postgres://somebody:hunter2@127.0.0.1:1/nowhere";
    let toml = "[stores]\nrecord = \"postgres\"\ncache = \"redis\"\n";
    let environment = vec![
        ("BEACOND_POSTGRES_URL", url.to_owned()),
        ("BEACOND_REDIS_URL", "redis://somebody:hunter2@127.0.0.1:1".to_owned()),
    ];
    let home = Home::configured(Some(toml), environment);
    let checked = home.beacond(&["check"]);
    assert_eq!(checked.code, Some(CONFIG), "{}", checked.stdout);
    let daemon = home.serve();
    assert!(daemon.stderr.wait_for_line("postgres", crate::harness::PATIENCE), "{}", daemon.stderr.text());
    for said in [&checked.stdout, &checked.stderr, &daemon.page("/ready").1, &daemon.stderr.text()] {
        assert!(!said.contains("hunter2"), "{said}");
    }
    daemon.stop();
}

#[test]
fn variables_alone_switch_no_store_on() {
    let stack = FullStack::bare(Wanted::default());
    let environment = stack.environment();
    let home = Home::configured(None, environment);
    home.import_beacons(&[table(1)]);
    let daemon = home.serve();
    let mut reporter = Reporter::open(&daemon, &[table(1)]);
    let frame = [reporter.strong(&table(1))];
    assert_eq!(reporter.ask(&frame), [("identified", 1)]);
    Tables::expected(&reporter.model).assert_found(&store::tables(&home.data()), "embedded");
    assert_eq!(stack.database.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
    daemon.stop();
}

#[test]
fn gateways_and_beacons_are_imported_into_postgresql_and_listed_from_it() {
    let stack = FullStack::with_beacons(&[table(1), table(2)]);
    stack
        .home
        .import_gateways(&[(GATEWAY, &["ours", "more"], "active"), ("gateway-off", &["ours"], "disabled")]);
    assert_eq!(stack.database.count("beacons"), 2);
    let stores = "SELECT array_to_json(stores) FROM gateways WHERE gateway_id = 'gateway-1'";
    let mut stores: Vec<String> = serde_json::from_str(&stack.database.value(stores)).unwrap();
    stores.sort();
    assert_eq!(stores, ["more", "ours"]);
    let listed = stack.home.beacond(&["beacon", "list"]).succeeded().stdout;
    assert!(listed.contains(&table(1).id.to_string()) && listed.contains("Table 2"), "{listed}");
    let daemon = stack.home.serve_with(&[]);
    assert_eq!(daemon.connect().open_refused("gateway-off"), "gateway_disabled");
    let mut gateway = daemon.tcp_session(GATEWAY);
    let sighting =
        crate::model::generated::heard(b"alice".to_vec(), crate::harness::now_us(), &table(1), -40);
    assert_eq!(gateway.ask(&frames::sightings(1, &[sighting])).outcomes(), [("identified", 1)]);
    daemon.stop();
}
