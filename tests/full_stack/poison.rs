//! Rows a store refuses, and stores that somebody broke: one is put aside with its reason, the other is waited for.

use serde_json::Value;

use crate::harness::daemon::Daemon;
use crate::harness::home::Home;
use crate::harness::reply::Record;
use crate::harness::{unique_name, wait_until};
use crate::model::Beacon;
use crate::model::tables::Tables;
use crate::scene::{Reporter, table};
use crate::stack::FullStack;

/// The dead letters in the data directory.
fn dead_letters(stack: &FullStack) -> Vec<Value> {
    let text = std::fs::read_to_string(stack.home.data().join("dead-letters.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// One row of the frame is a dead letter of PostgreSQL, named with its reason, and the rest is stored.
#[track_caller]
fn assert_one_is_dead(stack: &FullStack, daemon: &Daemon, record: &Record, customer: &[u8], reason: &str) {
    assert_eq!((record.outcomes(), record.dead_lettered), (vec![("identified", 3)], 1));
    let letters = dead_letters(stack);
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0]["store"], "postgres");
    assert_eq!(letters[0]["identities"][0]["customer_id"], std::str::from_utf8(customer).unwrap());
    let said = letters[0]["reason"].as_str().unwrap();
    assert!(said.contains(reason), "{said}");
    let stats = daemon.stats();
    assert_eq!((stats.store("stored"), stats.store("dead_lettered"), stats.store("waiting")), (2, 1, 0));
    // What one store refuses the other has: it was identified.
    assert_eq!((stats.events("stored"), stats.events("waiting")), (3, 0));
    assert_eq!((stack.database.count("customer_identities"), stack.events.rows().len()), (2, 3));
    let printed = stack.home.beacond(&["stats"]).succeeded().stdout;
    assert!(printed.lines().any(|line| line.contains("dead letters") && line.contains('1')), "{printed}");
}

#[test]
fn an_identity_whose_beacon_is_deleted_while_it_is_on_its_way_is_put_aside_and_the_others_stored() {
    let stack = FullStack::with_beacons(&[table(1), table(2)]);
    let daemon = stack.serve();
    let mut reporter = Reporter::open(&daemon, &[table(1), table(2)]);
    let frame = [reporter.weak(&table(1)), reporter.weak(&table(2))];
    assert_eq!(reporter.ask(&frame), [("low_confidence", 2)], "both are known");
    // Not committed, so that nobody is told yet; writers of identities wait for it.
    let mut deleting = stack.database.session();
    deleting.run(&format!("BEGIN; DELETE FROM beacons WHERE beacon_id = '{}'", table(2).id));
    let frame = [reporter.strong(&table(1)), reporter.strong(&table(2)), reporter.strong(&table(1))];
    reporter.send(&frame);
    daemon.wait_for_stats("they are on their way", |stats| stats.store("waiting") == 3);
    deleting.run("COMMIT");
    let record = reporter.answered();
    assert_one_is_dead(&stack, &daemon, &record, &frame[1].customer_id, "beacon");
    daemon.stop();
}

#[test]
fn an_identity_too_long_for_a_narrowed_column_is_put_aside_and_the_others_stored() {
    let long = Beacon { location: Some("Im Garten, hinten links".to_owned()), ..table(2) };
    let stack = FullStack::with_beacons(&[table(1), long.clone()]);
    let daemon = stack.serve();
    let mut reporter = Reporter::open(&daemon, &[table(1), long.clone()]);
    stack.database.run("ALTER TABLE customer_identities ALTER COLUMN location TYPE VARCHAR(8)");
    let frame = [reporter.strong(&table(1)), reporter.strong(&long), reporter.strong(&table(1))];
    reporter.send(&frame);
    let record = reporter.answered();
    assert_one_is_dead(&stack, &daemon, &record, &frame[1].customer_id, "22001");
    daemon.stop();
}

#[test]
fn a_missing_partition_is_made_and_no_row_lost() {
    let stack = FullStack::with_beacons(&[table(1)]);
    let daemon = stack.serve();
    let mut reporter = Reporter::open(&daemon, &[table(1)]);
    let frame = [reporter.strong(&table(1))];
    let year = crate::model::tables::utc_text(frame[0].detected_at_us)[..4].to_owned();
    let partition = format!("customer_identities_{year}");
    stack.database.run(&format!("DROP TABLE {partition}"));
    assert_eq!(reporter.ask(&frame), [("identified", 1)]);
    assert_eq!(stack.database.count(&partition), 1);
    stack.assert_holds(&reporter.model, "the partition was gone");
    daemon.stop();
}

/// A daemon on stores that are going to be broken.
struct Broken<'a> {
    stack: &'a FullStack,
    home: &'a Home,
    daemon: &'a Daemon,
}

impl Broken<'_> {
    /// While a store is broken, what is wrong is shown and sightings wait; when it is mended they are answered. Returns
    /// the reporter of them: one identity from before, two of then.
    #[track_caller]
    fn assert_waits(
        &self,
        store: &str,
        reason: &str,
        break_it: impl FnOnce(),
        mend: impl FnOnce(),
    ) -> Reporter {
        let mut reporter = Reporter::open(self.daemon, &[table(1)]);
        let frame = [reporter.strong(&table(1))];
        assert_eq!(reporter.ask(&frame), [("identified", 1)], "all is well");
        break_it();
        let frame = [reporter.strong(&table(1)), reporter.strong(&table(1))];
        reporter.send(&frame);
        self.daemon.wait_for_stats("it is seen to be broken", |stats| {
            let waiting = if store == "postgres" { stats.store("waiting") } else { stats.events("waiting") };
            waiting == 2 && stats.trouble_of(store).is_some_and(|(kind, _)| kind == "misconfigured")
        });
        let shown = self.ready_as(503);
        assert!(shown.contains(store) && shown.contains(reason), "{shown}");
        let printed = self.home.beacond(&["stats"]).succeeded().stdout;
        assert!(printed.contains("misconfigured") && printed.contains(reason), "{printed}");
        for said in [&shown, &printed, &self.daemon.stderr.text()] {
            let customer = std::str::from_utf8(&frame[0].customer_id).unwrap();
            assert!(!said.contains(customer), "a customer is named: {said}");
        }
        mend();
        assert_eq!(reporter.answered().outcomes(), [("identified", 2)]);
        reporter.accept(&frame);
        self.ready_as(200);
        assert_eq!(self.daemon.stats().writer_number(store, "dead_rows"), 0);
        reporter
    }

    #[track_caller]
    fn ready_as(&self, status: u16) -> String {
        let page = wait_until(|| Some(self.daemon.page("/ready")).filter(|page| page.0 == status));
        page.unwrap_or_else(|_| panic!("never {status}: {:?}", self.daemon.page("/ready"))).1
    }

    #[track_caller]
    fn assert_holds(&self, reporter: &Reporter) {
        Tables::expected(&reporter.model).assert_found(&self.stack.tables(), "mended");
    }
}

/// A role of PostgreSQL with the rights a daemon needs and no others, dropped at the end.
struct Role<'a> {
    stack: &'a FullStack,
    name: String,
}

impl<'a> Role<'a> {
    fn new(stack: &'a FullStack) -> Self {
        let role = Self { stack, name: unique_name("beacond_role") };
        stack.database.run(&format!(
            "CREATE ROLE {0} LOGIN;
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {0};
             GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {0}",
            role.name
        ));
        role
    }
}

impl Drop for Role<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stack.database.run(&format!("DROP OWNED BY {0}; DROP ROLE {0}", self.name));
        }
    }
}

#[test]
fn a_revoked_right_is_shown_and_waited_for_by_a_daemon_that_is_no_superuser() {
    let stack = FullStack::with_beacons(&[table(1)]);
    let role = Role::new(&stack);
    // It may not set session_replication_role either: PostgreSQL checks references row by row then.
    let home = stack.home_by(&stack.database.url_as(&role.name));
    let daemon = home.serve();
    let broken = Broken { stack: &stack, home: &home, daemon: &daemon };
    let reporter = broken.assert_waits(
        "postgres",
        "42501",
        || stack.database.run(&format!("REVOKE INSERT ON customer_identities FROM {}", role.name)),
        || stack.database.run(&format!("GRANT INSERT ON customer_identities TO {}", role.name)),
    );
    broken.assert_holds(&reporter);
    daemon.stop();
}

#[test]
fn a_dropped_unique_index_is_shown_and_waited_for_before_anything_could_be_there_twice() {
    let stack = FullStack::with_beacons(&[table(1)]);
    let daemon = stack.serve();
    let broken = Broken { stack: &stack, home: &stack.home, daemon: &daemon };
    let index = "idx_customer_identities_unique";
    let reporter = broken.assert_waits(
        "postgres",
        "42P10",
        || {
            stack.database.run(&format!("DROP INDEX {index}"));
            stack.database.cut_sessions();
        },
        || {
            let columns = "customer_identities (customer_id, detected_at)";
            stack.database.run(&format!("CREATE UNIQUE INDEX {index} ON {columns}"));
        },
    );
    broken.assert_holds(&reporter);
    daemon.stop();
}

#[test]
fn a_table_of_events_that_is_gone_is_shown_and_waited_for() {
    let stack = FullStack::with_beacons(&[table(1)]);
    let daemon = stack.serve();
    let broken = Broken { stack: &stack, home: &stack.home, daemon: &daemon };
    let reporter =
        broken.assert_waits("dynamodb", "ResourceNotFound", || stack.events.delete(), || stack.migrate());
    let mut expected = Tables::expected(&reporter.model);
    // The first went with the table.
    let first = expected.identities.iter().min_by_key(|row| row.detected_at.clone()).unwrap().clone();
    expected.events.retain(|event| event.identity != first);
    expected.assert_found(&stack.tables(), "mended");
    daemon.stop();
}
