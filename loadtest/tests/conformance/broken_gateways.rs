//! Gateways with one fault each: the rule that it breaks is named, and no other.

use std::collections::BTreeSet;

use crate::gateway::{self, Fault};
use crate::play::{Play, Verdicts};
use crate::together::all_at_once;

/// Longer than a gateway waits that was refused twice.
const PATIENCE: &str = "5s";
/// What has begun by then is played to its end; of more than ten scenes for a rule the first ones will do.
const SECONDS: &str = "12";

/// A fault, the rule whose scenes are played, and what is found broken.
type Broken = (Fault, u8, &'static [u8]);

const OVER_TCP: [Broken; 31] = [
    (Fault::TakesReservedBytes, 1, &[1]),
    (Fault::DamagesChecksums, 2, &[2]),
    (Fault::TakesWrongChecksums, 2, &[2]),
    (Fault::WaitsForLongBodies, 3, &[3]),
    (Fault::TakesTrailingBytes, 4, &[4]),
    (Fault::TakesKindsOfItsOwn, 11, &[11]),
    (Fault::TakesForeignWelcomes, 13, &[13]),
    (Fault::SendsTooManySightings, 14, &[14]),
    (Fault::DropsUnknownDetails, 19, &[19]),
    (Fault::IgnoresPings, 20, &[20]),
    (Fault::ForgetsTheUndecided, 21, &[21]),
    (Fault::SendsUndecidedAtOnce, 21, &[21]),
    (Fault::SendsWholeFramesAgain, 22, &[22]),
    (Fault::StaysAfterBusyOnTcp, 25, &[25]),
    (Fault::ReconnectsAtOnce, 30, &[30]),
    (Fault::IgnoresRetryAfter, 30, &[30]),
    (Fault::SpeaksWithoutHello, 31, &[31]),
    (Fault::SendsBeforeTheWelcome, 31, &[31]),
    (Fault::UsesTwoSessions, 33, &[33]),
    (Fault::SendsAfterItsGoodbye, 34, &[34]),
    (Fault::SendsWhileDraining, 37, &[37]),
    (Fault::NeverPings, 38, &[38]),
    (Fault::StaysWithASilentServer, 39, &[39]),
    (Fault::LeavesWhenRecordsAreLate, 40, &[40]),
    (Fault::ReusesASequence, 41, &[41]),
    // What it left out is the lowest without a record when it resumes.
    (Fault::SkipsASequence, 42, &[42, 49]),
    (Fault::OverfillsTheWindow, 44, &[44]),
    (Fault::ForgetsUnackedFrames, 49, &[49]),
    (Fault::KeepsItsEpoch, 51, &[51]),
    (Fault::TakesLastAckedForRecords, 53, &[53]),
    (Fault::LeavesAtUnknownKinds, 67, &[67]),
];

const OVER_UDP: [Broken; 17] = [
    (Fault::ReusesPacketNumbers, 5, &[5]),
    (Fault::TakesPacketNumberZero, 6, &[6]),
    (Fault::TakesSealedDatagrams, 7, &[7]),
    (Fault::SendsLongDatagrams, 9, &[9]),
    (Fault::TakesCumulativeForARecord, 17, &[17]),
    (Fault::LeavesAtAnyRefusal, 26, &[26]),
    (Fault::ObeysOtherSessions, 29, &[29]),
    (Fault::ReusesASequence, 41, &[41]),
    (Fault::SkipsASequence, 42, &[42, 49]),
    (Fault::NeverRepeatsItsHello, 54, &[54]),
    (Fault::RepeatsTooEarly, 58, &[58]),
    // After quick answers a repeat that never comes is late by R58.
    (Fault::NeverRepeats, 59, &[58, 59]),
    (Fault::NeverDoubles, 59, &[59]),
    (Fault::RepeatsWhatHasArrived, 60, &[60]),
    (Fault::IgnoresBusy, 61, &[61]),
    (Fault::LetsAgesStandStill, 64, &[64]),
    (Fault::StaysWithASilentServer, 39, &[39]),
];

/// Plays the scenes of a rule for a gateway that is started by hand.
fn perform(over_udp: bool, fault: Option<Fault>, rule: u8) -> Verdicts {
    let listen = if over_udp { "udp://127.0.0.1:0" } else { "tcp://127.0.0.1:0" };
    let rule = rule.to_string();
    let bounds = ["--patience", PATIENCE, "--seconds", SECONDS, "--rule", &rule];
    let mut play = Play::start(&[&["gateway", "--listen", listen], &bounds[..]].concat());
    let gateway = gateway::start(play.address(), over_udp, fault);
    let verdicts = play.end();
    drop(gateway);
    verdicts
}

#[track_caller]
fn assert_named(over_udp: bool, gateways: &[Broken]) {
    all_at_once(gateways, |&(fault, played, broken)| {
        let verdicts = perform(over_udp, Some(fault), played);
        let expected: BTreeSet<u8> = broken.iter().copied().collect();
        let right = (verdicts.code, verdicts.broken(), verdicts.side()) == (Some(1), expected, "gateway");
        (!right).then(|| format!("{fault:?}, {broken:?} was due: {verdicts}"))
    });
}

/// Without a fault each of these rules is kept: what is found above is the fault.
#[track_caller]
fn assert_sound(over_udp: bool, gateways: &[Broken]) {
    let mut played: Vec<u8> = gateways.iter().map(|(_, played, _)| *played).collect();
    played.dedup();
    all_at_once(&played, |&rule| {
        // It has a clock, and is not asked to leave.
        if matches!(rule, 34 | 64) {
            return None;
        }
        let verdicts = perform(over_udp, None, rule);
        let right = (verdicts.code, verdicts.kept()) == (Some(0), [rule].into());
        (!right).then(|| format!("R{rule}: {verdicts}"))
    });
}

#[test]
fn a_gateway_that_breaks_a_rule_over_tcp_is_told_which() {
    assert_named(false, &OVER_TCP);
}

#[test]
fn a_gateway_that_breaks_a_rule_over_udp_is_told_which() {
    assert_named(true, &OVER_UDP);
}

#[test]
fn a_sound_gateway_is_told_that_it_keeps_them_over_tcp() {
    assert_sound(false, &OVER_TCP);
}

#[test]
fn a_sound_gateway_is_told_that_it_keeps_them_over_udp() {
    assert_sound(true, &OVER_UDP);
}
