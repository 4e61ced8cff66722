//! Whole verifications: evidence in files, and stores of their own kind.

mod engines;
mod simulated;
mod sqlite;

use std::path::{Path, PathBuf};

use beacon_protocol::OutcomeCode;
use serde_json::{Value, json};

use self::simulated::{BEGAN_US, Simulated};
use super::*;
use crate::evidence::{Answered, EvidenceHead, EvidenceWriter, FrameVerdict};

/// What a verification says, and how it ends.
struct Verified {
    ending: Ending,
    said: String,
    json: Value,
}

impl Verified {
    fn check(&self, check: &str) -> Vec<&Value> {
        let findings = self.json["findings"].as_array().unwrap().iter();
        findings.filter(|finding| finding["check"] == check).collect()
    }

    /// The checks that do not hold.
    fn broken(&self) -> Vec<&str> {
        let findings = self.json["findings"].as_array().unwrap().iter();
        let broken = findings.filter(|finding| finding["holds"] == false);
        let mut broken: Vec<&str> = broken.map(|finding| finding["check"].as_str().unwrap()).collect();
        broken.dedup();
        broken
    }
}

fn arguments(evidence: &[&Path], sqlite: Option<PathBuf>, directory: &Path) -> VerifyArguments {
    VerifyArguments {
        evidence: evidence.iter().map(|path| path.to_path_buf()).collect(),
        sqlite,
        postgres_url_file: None,
        dynamodb_table: None,
        only_store: None,
        admin: None,
        wait: Duration::ZERO,
        memory: 1_024,
        show_customers: false,
        json: Some(directory.join("verified.json")),
    }
}

fn verified(arguments: &VerifyArguments) -> Result<Verified, Failure> {
    let mut out = Vec::new();
    let ending = run(arguments, &mut out)?;
    let json = std::fs::read(arguments.json.as_ref().unwrap()).unwrap();
    Ok(Verified {
        ending,
        said: String::from_utf8(out).unwrap(),
        json: serde_json::from_slice(&json).unwrap(),
    })
}

/// A run with its evidence, and its identities in the embedded store.
fn small() -> (tempfile::TempDir, Simulated, VerifyArguments) {
    let directory = tempfile::tempdir().unwrap();
    let simulated = Simulated::of(600, 12);
    let evidence = simulated.write(&directory.path().join("evidence"));
    let store = sqlite::Store::create(&directory.path().join("store.sqlite3"), &simulated);
    let mut arguments = arguments(&[&evidence], Some(store.file), directory.path());
    arguments.wait = Duration::ZERO;
    (directory, simulated, arguments)
}

#[test]
fn one_row_of_a_hundred_thousand_that_is_gone_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let simulated = Simulated::of(25_000, 24);
    simulated.write(&directory.path().join(evidence::FILE_NAME));
    let store = sqlite::Store::create(&directory.path().join("store.sqlite3"), &simulated);
    // By its directory, and in many parts.
    let mut arguments = arguments(&[directory.path()], Some(store.file.clone()), directory.path());
    arguments.memory = 1;
    let sound = verified(&arguments).unwrap();
    assert_eq!(sound.ending, Ending::Good, "{}", sound.said);
    let exact = sound.check("exact")[0];
    assert_eq!((&exact["examined"], &exact["broken"]), (&json!(100_000), &json!(0)));
    assert!(sound.said.contains("100,000 of 100,000\n"), "{}", sound.said);
    assert!(sound.said.lines().last().unwrap().starts_with("PASS: 14 of 14 checks hold"), "{}", sound.said);

    let gone = simulated.identities[50_000];
    store.run(&format!(
        "DELETE FROM customer_identities WHERE customer_id = '{}' AND detected_at = '{}'",
        simulated::customer_id(gone.customer),
        time::text(BEGAN_US + gone.at_us)
    ));
    let found = verified(&arguments).unwrap();
    assert_eq!(found.ending, Ending::Bad, "{}", found.said);
    assert_eq!(found.broken(), ["iii", "iv", "exact"], "{}", found.said);
    let names_it = format!("customer {} at {}", gone.customer, time::text(BEGAN_US + gone.at_us));
    for check in ["iii", "iv", "exact"] {
        let example = found.check(check)[0]["examples"][0].as_str().unwrap();
        assert!(example.contains(&names_it), "{example}");
        assert!(example.starts_with("gateway-0000"), "{example}");
    }
    // It, and of its duplicates the one that is not near the next identity either.
    assert_eq!(found.check("iii")[0]["broken"], 2);
    // No id of a customer but when it is asked for.
    let id = simulated::customer_id(gone.customer);
    assert!(!found.said.contains(&id));
    arguments.show_customers = true;
    assert!(verified(&arguments).unwrap().said.contains(&id));
}

#[test]
fn each_table_of_the_embedded_store_is_held_to_account() {
    let spoils = [
        ("UPDATE customers SET last_seen = '2026-01-01T00:00:00.000000Z' WHERE rowid_ = 1", vec!["iv"]),
        ("DELETE FROM customer_events WHERE rowid_ = 1", vec!["iii", "iv", "exact"]),
        ("UPDATE customer_events SET Confidence = 0.5 WHERE rowid_ = 1", vec!["i"]),
        ("UPDATE customer_identities SET location = 'Table 99' WHERE rowid_ = 1", vec!["i"]),
        (
            "UPDATE customer_identities SET customer_id = 'somebody' WHERE rowid_ = 1",
            vec!["i", "iii", "iv", "exact"],
        ),
    ];
    for (spoil, broken) in spoils {
        let (_directory, simulated, arguments) = small();
        let first = simulated::customer_id(simulated.identities[0].customer);
        let at = time::text(BEGAN_US + simulated.identities[0].at_us);
        let which = if spoil.contains("customer_events") {
            format!("CustomerID = '{first}' AND DetectedAt = '{at}'")
        } else if spoil.contains("last_seen") {
            format!("customer_id = '{first}'")
        } else {
            format!("customer_id = '{first}' AND detected_at = '{at}'")
        };
        let store = sqlite::Store { file: arguments.sqlite.clone().unwrap() };
        store.run(&format!("PRAGMA foreign_keys = OFF; {}", spoil.replace("rowid_ = 1", &which)));
        let found = verified(&arguments).unwrap();
        assert_eq!(found.broken(), broken, "{spoil}: {}", found.said);
    }
}

#[test]
fn a_store_of_others_is_none_of_ours_and_only_counted() {
    let (_directory, _simulated, mut arguments) = small();
    let store = sqlite::Store { file: arguments.sqlite.clone().unwrap() };
    store.run(
        "INSERT INTO customers (customer_id, last_seen) VALUES ('real', '2027-01-15T08:00:01.000000Z');
         INSERT INTO beacons (beacon_id, store_id, major, minor)
         VALUES ('0db9ba02-25ee-562c-9dee-7afcb156cfba', 's', 1, 1);
         INSERT INTO customer_identities (customer_id, beacon_id, confidence, detected_at)
         VALUES ('real', '0db9ba02-25ee-562c-9dee-7afcb156cfba', 0.9, '2027-01-15T08:00:01.000000Z')",
    );
    let found = verified(&arguments).unwrap();
    assert_eq!(found.ending, Ending::Good, "{}", found.said);
    assert_eq!(found.json["stores"][0]["of_others"], 1);
    arguments.only_store = Some(StoreKind::Events);
    let events = verified(&arguments).unwrap();
    assert_eq!(events.json["stores"].as_array().unwrap().len(), 1);
    assert!(events.said.contains("not checked: the system of record"), "{}", events.said);
}

#[test]
fn evidence_of_several_generators_is_one_and_all_of_it_is_wanted() {
    let (directory, simulated, mut arguments) = small();
    let parts = simulated.write_parts(directory.path(), 3);
    arguments.evidence = parts.clone();
    let found = verified(&arguments).unwrap();
    assert_eq!(found.ending, Ending::Good, "{}", found.said);
    assert_eq!(found.check("exact")[0]["examined"], simulated.identities.len());
    arguments.evidence = parts[..2].to_vec();
    let missing = verified(&arguments).err().unwrap().to_string();
    assert!(missing.ends_with("the evidence of the other generators is wanted too: 3/3"), "{missing}");
    arguments.evidence = [&parts[..], &parts[..1]].concat();
    assert!(verified(&arguments).err().unwrap().to_string().contains("part 1/3 is here twice"));
    // Of a run with another population.
    let other = Simulated::of(700, 12).write_parts(&directory.path().join("other"), 3);
    arguments.evidence = vec![parts[0].clone(), other[1].clone(), parts[2].clone()];
    assert!(verified(&arguments).err().unwrap().to_string().contains("another run"));
}

#[test]
fn a_wrong_answer_breaks_the_check_of_answers_and_is_named() {
    let (directory, mut simulated, mut arguments) = small();
    simulated.frames[5].sightings[2].answered = Answered::Listed(OutcomeCode::UnknownBeacon);
    arguments.evidence = vec![simulated.write(&directory.path().join("evidence"))];
    let found = verified(&arguments).unwrap();
    let examples = found.check("answers")[0]["examples"].to_string();
    assert!(found.broken().contains(&"answers"));
    assert!(examples.contains("sighting 2: customer"), "{examples}");
    assert!(examples.contains("is identified and was answered unknown_beacon"), "{examples}");
}

#[test]
fn without_a_known_order_there_is_no_exact_set_and_why_is_said() {
    let (directory, mut simulated, mut arguments) = small();
    simulated.frames[3].verdict = FrameVerdict::Unanswered;
    arguments.evidence = vec![simulated.write(&directory.path().join("evidence"))];
    let found = verified(&arguments).unwrap();
    assert_eq!(found.ending, Ending::Good, "{}", found.said);
    assert!(found.check("exact").is_empty());
    assert!(
        found
            .said
            .contains("no exact set: the order of decisions is not known, since 1 frames have no answer")
    );
}

#[test]
fn what_was_refused_for_its_time_must_not_be_stored_either() {
    let (directory, mut simulated, mut arguments) = small();
    let mut old = simulated.frames[0].sightings[0];
    old.heard.at_us -= 8 * 24 * 60 * MINUTE_US;
    old.heard.expected = OutcomeCode::TooOld;
    old.answered = Answered::Listed(OutcomeCode::TooOld);
    simulated.frames[0].sightings.push(old);
    arguments.evidence = vec![simulated.write(&directory.path().join("evidence"))];
    assert_eq!(verified(&arguments).unwrap().ending, Ending::Good);
    sqlite::Store { file: arguments.sqlite.clone().unwrap() }.insert(&simulated, &[old.heard]);
    let found = verified(&arguments).unwrap();
    assert_eq!(found.broken(), ["i", "exact"], "{}", found.said);
    assert!(found.check("i")[0]["examples"][0].as_str().unwrap().contains("was sent as too_old"));
}

#[test]
fn evidence_that_is_cut_or_of_nothing_is_no_evidence() {
    let (directory, simulated, mut arguments) = small();
    let file = simulated.write(&directory.path().join("evidence"));
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    arguments.evidence = vec![file.clone()];
    let cut = verified(&arguments).err().unwrap();
    assert!(matches!(cut, Failure::File { .. }));
    assert!(cut.to_string().ends_with("it ends too early: the run did not end in order"), "{cut}");
    let head = EvidenceHead::new(simulated.scenario_text(), BEGAN_US, (1, 1));
    EvidenceWriter::create(&file, &head).unwrap().finish(true).unwrap();
    let nothing = verified(&arguments).err().unwrap().to_string();
    assert!(nothing.ends_with("not one eligible sighting was sent: nothing to verify"), "{nothing}");
    arguments.evidence = vec![directory.path().join("nowhere")];
    assert!(matches!(verified(&arguments).err().unwrap(), Failure::File { .. }));
}

#[test]
fn stores_that_are_not_there_are_said_to_be_so() {
    let (directory, _simulated, mut arguments) = small();
    arguments.sqlite = Some(directory.path().join("nowhere.sqlite3"));
    let gone = verified(&arguments).err().unwrap();
    assert!(matches!(&gone, Failure::Resources(reason) if reason.starts_with("SQLite: ")), "{gone}");
    let url_file = directory.path().join("url");
    std::fs::write(&url_file, "postgresql://nobody:hidden@127.0.0.1:1/nothing\n").unwrap();
    arguments.sqlite = None;
    arguments.postgres_url_file = Some(url_file);
    let gone = verified(&arguments).err().unwrap();
    assert!(matches!(&gone, Failure::Resources(reason) if reason.starts_with("PostgreSQL: ")), "{gone}");
    assert!(!gone.to_string().contains("hidden") && !gone.to_string().contains('\n'), "{gone}");
}

/// Serves one page after the other, the last one again and again.
fn page(mut pages: Vec<Value>) -> String {
    use std::io::{BufRead, BufReader, Write};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let body = if pages.len() > 1 { pages.remove(0) } else { pages[0].clone() }.to_string();
            let length = body.len();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
                .unwrap();
        }
    });
    url
}

#[test]
fn the_daemons_ledger_is_waited_for_and_held_against_the_answers() {
    let (_directory, simulated, mut arguments) = small();
    let identities = simulated.identities.len();
    let counts = simulated.outcomes();
    let received: u64 = counts.iter().sum();
    let ledger = |waiting: usize, uptime_s: u64| {
        let store = json!({"waiting_at_start": 0, "new": identities, "replayed": 0, "stored": identities - waiting,
            "waiting": waiting, "dead_lettered": 0, "erased": 0, "lost_to_corruption": 0});
        json!({"uptime_s": uptime_s, "imbalance": null, "ledger": {
            "received": received, "in_progress": 0, "outcomes": counts, "identified_new": identities,
            "identified_redelivered": 0, "system_of_record": store, "events": null,
            "preferences": {"received": 0, "in_progress": 0, "accepted": 0, "invalid": 0, "undecided": 0}
        }})
    };
    // Since long before the run; first two wait.
    let uptime_s = u64::try_from(clock::now_us() / 1_000_000).unwrap();
    arguments.admin = Some(page(vec![ledger(2, uptime_s), ledger(0, uptime_s)]));
    arguments.wait = Duration::from_secs(60);
    let found = verified(&arguments).unwrap();
    let checks = found.check("v");
    assert_eq!((found.ending, checks.len()), (Ending::Good, 2), "{}", found.said);
    assert!(!found.said.contains("still wait"));

    arguments.wait = Duration::ZERO;
    let mut short = ledger(2, uptime_s);
    short["ledger"]["outcomes"][9] = json!(0);
    arguments.admin = Some(page(vec![short]));
    let found = verified(&arguments).unwrap();
    assert_eq!(found.broken(), ["v"], "{}", found.said);
    assert!(found.said.contains("duplicate: gateways were told"), "{}", found.said);
    assert!(found.said.contains("2 identities still wait for the system of record"), "{}", found.said);

    arguments.admin = Some("http://127.0.0.1:1".to_owned());
    assert!(matches!(verified(&arguments).err().unwrap(), Failure::Resources(_)));
}

#[test]
#[ignore = "a measurement: cargo test -p beacon-loadtest --bin loadtest -- --ignored --nocapture ten_million"]
fn measure_ten_million_sightings() {
    let million: u32 = std::env::var("MILLION").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let directory = tempfile::tempdir().unwrap();
    let (customers, sightings) = (million * 1_000_000 / 24, 24);
    let scenario = simulated::scenario(customers);
    let file = directory.path().join("evidence");
    let store = sqlite::Store::create_streamed(&directory.path().join("store.sqlite3"), &scenario);
    let mut rows = store.rows();
    simulated::stream(&scenario, sightings, &file, |heard| rows.insert(heard));
    rows.finish();
    let bytes = |path: &Path| std::fs::metadata(path).unwrap().len() >> 20;
    println!("evidence {} MiB, store {} MiB", bytes(&file), bytes(&store.file));
    let arguments = arguments(&[&file], Some(store.file), directory.path());
    // Forgets the peak of what was done so far.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let began = std::time::Instant::now();
    let found = verified(&arguments).unwrap();
    println!("{}\n{:.1} s", found.said, began.elapsed().as_secs_f64());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
    assert_eq!(found.ending, Ending::Good);
}
