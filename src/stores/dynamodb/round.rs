//! One batch on its way: calls in flight, calls that rest before they are sent again, and when to stop.

use std::collections::{HashMap, HashSet, VecDeque};
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::batch_write_item::{BatchWriteItemError, BatchWriteItemOutput};
use aws_sdk_dynamodb::types::WriteRequest;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::call_limit::CallLimit;
use super::failure::{Failure, FailureKind};
use super::health::DynamoDbHealth;
use super::item::{ItemKey, put_request};
use crate::backoff::Backoff;
use crate::domain::identity::CustomerIdentity;
use crate::faults::{Mutant, mutant};

/// The first rest of items that were not written is drawn from up to this (AWS, "Error retries": up to 50, 100, 200 ms).
const FIRST_REST: Duration = Duration::from_millis(50);

/// No rest is longer.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// What a batch is sent with.
pub(super) struct Sending<'s> {
    pub(super) client: &'s Client,
    pub(super) table: &'s str,
    pub(super) suffixes: NonZeroU16,
    /// How often an item is sent at most.
    pub(super) attempts: u32,
    /// After this no call is sent any more: what is left goes back to the pipeline, which shows it and goes on.
    pub(super) sent_for_at_most: Duration,
    pub(super) limit: &'s mut CallLimit,
    pub(super) health: &'s DynamoDbHealth,
}

/// How a batch went.
pub(super) struct Sent<'b> {
    /// What is stored.
    pub(super) stored: Vec<&'b CustomerIdentity>,
    /// Why there is more, if there is.
    pub(super) failure: Option<Failure>,
}

/// Items that are sent together, until none is left.
struct Call<'b> {
    identities: Vec<&'b CustomerIdentity>,
    /// How often they were sent.
    sent: u32,
    backoff: Backoff,
}

struct Answer<'b> {
    call: Call<'b>,
    era: u64,
    took: Duration,
    result: Result<BatchWriteItemOutput, SdkError<BatchWriteItemError>>,
}

struct Round<'s, 'b> {
    sending: Sending<'s>,
    due: VecDeque<Call<'b>>,
    /// Calls that are to rest now, and for how long.
    tired: Vec<(Duration, Call<'b>)>,
    sent: Sent<'b>,
}

/// Sends all items of a batch. Calls in flight are waited for, also after a failure: none is left behind that could meet
/// the same items sent again.
pub(super) async fn send_all<'b>(
    sending: Sending<'_>,
    calls: VecDeque<Vec<&'b CustomerIdentity>>,
) -> Sent<'b> {
    let first = |identities| Call { identities, sent: 0, backoff: Backoff::new(FIRST_REST, LONGEST_REST) };
    let mut round = Round {
        sending,
        due: calls.into_iter().map(first).collect(),
        tired: Vec::new(),
        sent: Sent { stored: Vec::new(), failure: None },
    };
    let began_at = Instant::now();
    let mut in_flight = FuturesUnordered::new();
    let mut resting = FuturesUnordered::new();
    loop {
        if began_at.elapsed() > round.sending.sent_for_at_most {
            round.out_of_time(in_flight.is_empty() && resting.is_empty());
        }
        while round.sent.failure.is_none() && in_flight.len() < round.sending.limit.calls() {
            let Some(call) = round.due.pop_front() else { break };
            in_flight.push(round.send(call));
        }
        round.sending.health.in_flight(in_flight.len());
        if in_flight.is_empty() && (resting.is_empty() || round.sent.failure.is_some()) {
            return round.sent;
        }
        let flying = in_flight.len();
        tokio::select! {
            Some(answer) = in_flight.next() => round.answered(answer, flying),
            Some(call) = resting.next() => round.due.push_front(call),
        }
        resting.extend(round.tired.drain(..).map(|(rest, call)| async move {
            tokio::time::sleep(rest).await;
            call
        }));
    }
}

impl<'b> Round<'_, 'b> {
    fn send(&self, mut call: Call<'b>) -> impl Future<Output = Answer<'b>> + use<'b> {
        let Sending { client, table, suffixes, limit, .. } = &self.sending;
        let requests: Vec<_> =
            call.identities.iter().map(|identity| put_request(identity, *suffixes)).collect();
        let request = client.batch_write_item().request_items(*table, requests);
        let era = limit.era();
        call.sent += 1;
        async move {
            let sent_at = Instant::now();
            let result = request.send().await;
            Answer { call, era, took: sent_at.elapsed(), result }
        }
    }

    fn answered(&mut self, answer: Answer<'b>, in_flight: usize) {
        let Answer { mut call, era, took, result } = answer;
        self.sending.health.answered(took);
        match result {
            Ok(output) => {
                let unprocessed = output.unprocessed_items.unwrap_or_default();
                let mut left = left_over(&call.identities, &unprocessed, self.sending.suffixes);
                if !left.is_empty() && ignores_this_one() {
                    left.clear();
                }
                self.sending.health.unprocessed(left.len());
                self.sending.health.stored(call.identities.len() - left.len());
                if left.is_empty() {
                    self.sending.limit.went_well(era, in_flight);
                    self.sent.stored.append(&mut call.identities);
                } else {
                    self.sending.limit.pushed_back(era);
                    let is_left: HashSet<_> =
                        left.iter().map(|identity| std::ptr::from_ref(*identity)).collect();
                    call.identities.retain(|identity| !is_left.contains(&std::ptr::from_ref(*identity)));
                    self.sent.stored.append(&mut call.identities);
                    self.again(Call { identities: left, ..call }, "UnprocessedItems");
                }
            }
            Err(error) => self.failed(call, era, Failure::of(&error)),
        }
        self.sending.health.limited_to(self.sending.limit.calls());
    }

    fn failed(&mut self, call: Call<'b>, era: u64, failure: Failure) {
        match failure.kind {
            FailureKind::Throttled => {
                self.sending.health.throttled();
                self.sending.limit.pushed_back(era);
                self.again(call, &failure.reason);
            }
            FailureKind::Unavailable => {
                self.sending.health.failed();
                self.sending.limit.pushed_back(era);
                self.again(call, &failure.reason);
            }
            FailureKind::Rejected => {
                self.sending.health.failed();
                self.fail(Failure { reason: without_customers(&failure, &call), ..failure });
            }
            FailureKind::Misconfigured => {
                self.sending.health.failed();
                self.fail(failure);
            }
        }
    }

    /// Sends what is left of a call again, later; or gives it back when it was sent often enough.
    fn again(&mut self, mut call: Call<'b>, reason: &str) {
        if call.sent < self.sending.attempts {
            self.tired.push((call.backoff.wait(), call));
        } else {
            let (items, sent) = (call.identities.len(), call.sent);
            self.fail(Failure::unavailable(format!(
                "{items} items not written when sent {sent} times: {reason}"
            )));
        }
    }

    /// The failure that ends the batch. One that asks for more than patience is told rather than one that does not.
    fn fail(&mut self, failure: Failure) {
        match &self.sent.failure {
            Some(told) if told.kind != FailureKind::Unavailable => {}
            _ => self.sent.failure = Some(failure),
        }
    }

    fn out_of_time(&mut self, all_answered: bool) {
        if self.sent.failure.is_none() && !(all_answered && self.due.is_empty()) {
            let within = self.sending.sent_for_at_most;
            self.fail(Failure::unavailable(format!("not everything was written within {within:?}")));
        }
    }
}

/// Which of a call's identities DynamoDB sent back. All of them if it sent back what was not in the call.
fn left_over<'b>(
    identities: &[&'b CustomerIdentity],
    unprocessed: &HashMap<String, Vec<WriteRequest>>,
    suffixes: NonZeroU16,
) -> Vec<&'b CustomerIdentity> {
    let requests = || unprocessed.values().flatten();
    if requests().next().is_none() {
        return Vec::new();
    }
    let keys: HashSet<_> = requests().map(ItemKey::of_request).collect();
    let is_left = |identity: &&&CustomerIdentity| keys.contains(&Some(ItemKey::of(identity, suffixes)));
    let left: Vec<_> = identities.iter().filter(is_left).copied().collect();
    if left.len() == requests().count() { left } else { identities.to_vec() }
}

/// Whether this list of what was not written is forgotten: the first one of a daemon with that defect.
fn ignores_this_one() -> bool {
    static IGNORED: AtomicBool = AtomicBool::new(false);
    mutant(Mutant::UnprocessedIgnored) && !IGNORED.swap(true, Ordering::Relaxed)
}

/// What a refusal says, unless it says who: it may quote the item.
fn without_customers(failure: &Failure, call: &Call<'_>) -> String {
    let quoted = |identity: &&CustomerIdentity| failure.reason.contains(identity.customer_id.as_str());
    if call.identities.iter().any(quoted) {
        failure.code.clone().unwrap_or_else(|| "refused".into())
    } else {
        failure.reason.clone()
    }
}
