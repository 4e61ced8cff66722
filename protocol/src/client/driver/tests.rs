//! What a driver keeps for a caller that reads no events stays bounded.

use super::*;
use crate::client::{DEFAULT_EVENT_CAPACITY, Target};
use crate::{Refusal, RefusalCode};

const IN_FLIGHT: usize = 4;

fn driver() -> (Driver, mpsc::Sender<Command>, mpsc::Receiver<Event>) {
    let target = Target::Udp(std::net::SocketAddr::from(([127, 0, 0, 1], 9)));
    let config = GatewayConfig { max_in_flight_frames: IN_FLIGHT, ..GatewayConfig::new(target, "g", 1) };
    let (commands, command_receiver) = mpsc::channel(1);
    let (event_sender, events) = mpsc::channel(1);
    let channels = Channels {
        commands: command_receiver,
        events: event_sender,
        deadline: watch::channel(None).1,
        limits: watch::channel(None).0,
        shared: Arc::new(Shared::default()),
    };
    (Driver::new(config, channels, 1), commands, events)
}

#[tokio::test]
async fn only_the_newest_status_is_kept_while_none_can_be_sent() {
    let (mut driver, _commands, _events) = driver();
    for number in 0..100 {
        driver.take(Command::Status(vec![number]), Instant::now());
    }
    assert_eq!(driver.status, Some(vec![99]));
}

#[tokio::test]
async fn refusals_nobody_reads_are_counted_and_not_kept() {
    let (mut driver, _commands, _events) = driver();
    let refusal = Refusal { sequence: 0, code: RefusalCode::BadChecksum, retry_after_ms: 0, text: "damaged" };
    let many = DEFAULT_EVENT_CAPACITY * 4;
    for _ in 0..many {
        driver.on_refusal(&refusal, true, Instant::now()).map(|_| ()).unwrap();
        driver.deliver_events();
    }
    assert!(driver.unread.len() <= IN_FLIGHT, "{} kept", driver.unread.len());
    let kept = driver.unread.len() + 1;
    assert_eq!(driver.summary.events_dropped, u64::try_from(many - kept).unwrap());
}

#[tokio::test]
async fn undecided_sightings_wait_while_answers_are_not_read() {
    let (mut driver, _commands, _events) = driver();
    assert!(driver.room_for_undecided());
    let deadline = Duration::from_secs(1);
    (0..IN_FLIGHT).for_each(|_| driver.unread.push_back(Event::Draining { deadline }));
    assert!(!driver.room_for_undecided());
}
