//! Servers with one fault each: the rule that it breaks is named, and no other.

use std::collections::BTreeSet;

use crate::play::{Verdicts, play};
use crate::server::{self, Fault};
use crate::together::all_at_once;

/// Longer than anything that these servers do takes; what never comes is waited for as long.
const PATIENCE: &str = "2s";

/// A fault, the rules whose checks are held, and those that are found broken.
type Broken = (Fault, &'static [u8], &'static [u8]);

const OVER_TCP: [Broken; 22] = [
    (Fault::TakesFlags, &[1], &[1]),
    (Fault::SaysMalformedForChecksums, &[2], &[2]),
    (Fault::WaitsForLongBodies, &[3], &[3]),
    (Fault::TakesTrailingBytes, &[4], &[4]),
    (Fault::GrantsSessionZero, &[66], &[10]),
    (Fault::TakesKindsOfItsOwn, &[11], &[11]),
    (Fault::GrantsAWeakerLevel, &[12], &[12]),
    (Fault::AcksWhatItWasNotSent, &[15], &[15]),
    (Fault::AcksBeyond, &[15], &[15]),
    (Fault::AnswersRepeatsOtherwise, &[15], &[15]),
    // In whatever check an answer comes.
    (Fault::CountsWrong, &[15], &[16]),
    (Fault::AnswersOtherTokens, &[20], &[20]),
    (Fault::StaysAfterRefusals, &[24], &[24]),
    (Fault::SaysBusyOnTcp, &[25], &[25]),
    (Fault::RefusesRefusals, &[27], &[27]),
    (Fault::TakesAnyAuthentication, &[32], &[32]),
    (Fault::SaysTooManySessionsForVersions, &[32], &[32]),
    (Fault::ForgetsFramesAtGoodbye, &[35], &[35]),
    (Fault::StaysInSilence, &[39], &[39]),
    (Fault::TakesGaps, &[46], &[46]),
    (Fault::TakesReusedSequences, &[46], &[46]),
    (Fault::ChoosesVersionTwo, &[66], &[66]),
];

const OVER_UDP: [Broken; 18] = [
    (Fault::ReusesPacketNumbers, &[5], &[5]),
    (Fault::MindsPacketNumbers, &[6], &[6]),
    (Fault::TakesOtherFlagsOfDatagrams, &[7], &[7]),
    (Fault::TakesTwoFrames, &[8], &[8]),
    (Fault::RefusesInSessionZero, &[10], &[10]),
    (Fault::AcksBeyond, &[15], &[15]),
    (Fault::EndsAtAnyRefusal, &[8], &[26]),
    (Fault::RefusesAtLength, &[27], &[27]),
    (Fault::EndsOlderSessions, &[33], &[33]),
    (Fault::StaysInSilence, &[39], &[39]),
    (Fault::ForgetsRecords, &[45], &[45]),
    (Fault::TakesGaps, &[46], &[46]),
    (Fault::GrantsARepeatedHelloAnew, &[55], &[55]),
    (Fault::TakesAnyAddress, &[56], &[56]),
    (Fault::GrantsAWideWindow, &[57], &[57]),
    (Fault::AcksLate, &[62], &[62]),
    (Fault::IsSilentAboutRepeats, &[63], &[63]),
    (Fault::RefusesUnknownKinds, &[67], &[67]),
];

fn hold(over_udp: bool, fault: Option<Fault>, rules: &BTreeSet<u8>) -> Verdicts {
    let scheme = if over_udp { "udp" } else { "tcp" };
    let target = format!("{scheme}://{}", server::start(over_udp, fault));
    let rules: Vec<String> = rules.iter().map(u8::to_string).collect();
    let mut arguments = vec!["daemon", "--target", &target, "--patience", PATIENCE];
    arguments.extend(rules.iter().flat_map(|rule| ["--rule", rule]));
    play(&arguments)
}

#[track_caller]
fn assert_named(over_udp: bool, servers: &[Broken]) {
    all_at_once(servers, |&(fault, held, broken)| {
        let verdicts = hold(over_udp, Some(fault), &held.iter().copied().collect());
        let expected: BTreeSet<u8> = broken.iter().copied().collect();
        let right = (verdicts.code, verdicts.broken(), verdicts.side()) == (Some(1), expected, "daemon");
        (!right).then(|| format!("{fault:?}, {broken:?} was due: {verdicts}"))
    });
}

/// Without a fault each of these rules is kept: what is found above is the fault.
#[track_caller]
fn assert_sound(over_udp: bool, servers: &[Broken]) {
    let mut rules: BTreeSet<u8> = servers.iter().flat_map(|(_, held, _)| *held).copied().collect();
    // Nothing is in progress long enough for a repeat to meet it.
    rules.remove(&63);
    hold(over_udp, None, &rules).assert_kept(rules.len());
}

#[test]
fn a_server_that_breaks_a_rule_over_tcp_is_told_which() {
    assert_named(false, &OVER_TCP);
}

#[test]
fn a_server_that_breaks_a_rule_over_udp_is_told_which() {
    assert_named(true, &OVER_UDP);
}

#[test]
fn a_sound_server_is_told_that_it_keeps_them_over_tcp() {
    assert_sound(false, &OVER_TCP);
}

#[test]
fn a_sound_server_is_told_that_it_keeps_them_over_udp() {
    assert_sound(true, &OVER_UDP);
}
