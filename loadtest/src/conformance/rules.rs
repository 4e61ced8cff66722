//! The rules of `protocol/SPEC.md`: number, whom each binds, and what it says in a line.

/// One of the two ends of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Gateway,
    Daemon,
}

/// Whom a rule binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parties {
    Gateway,
    Daemon,
    Both,
}

/// A rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) number: u8,
    pub(super) parties: Parties,
    pub(super) title: &'static str,
}

/// Where a group of rules begins in the document, and what it is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chapter {
    pub(super) title: &'static str,
    pub(super) first: u8,
    pub(super) last: u8,
}

impl Side {
    /// In a sentence.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Daemon => "daemon",
        }
    }
}

impl Parties {
    /// Whether the rule binds that side.
    pub(super) const fn include(self, side: Side) -> bool {
        matches!(
            (self, side),
            (Self::Both, _) | (Self::Gateway, Side::Gateway) | (Self::Daemon, Side::Daemon)
        )
    }

    /// As the document writes it.
    pub(super) const fn mark(self) -> &'static str {
        match self {
            Self::Gateway => "G",
            Self::Daemon => "D",
            Self::Both => "GD",
        }
    }
}

const fn rule(number: u8, parties: Parties, title: &'static str) -> Rule {
    Rule { number, parties, title }
}

use Parties::{Both, Daemon, Gateway};

/// Every rule, in the order of the document's numbers.
pub(super) const RULES: [Rule; 69] = [
    rule(1, Both, "reserved bytes and flags are zero, and refused otherwise"),
    rule(2, Both, "checks a frame in order, each as soon as its bytes are there"),
    rule(3, Both, "waits for no body whose length is not checked"),
    rule(4, Both, "refuses bodies that are cut or have bytes behind them"),
    rule(5, Both, "packet numbers count up from 1, none comes twice"),
    rule(6, Both, "concludes nothing from packet numbers, but refuses 0"),
    rule(7, Both, "refuses sealed datagrams, other flags, a reserved byte"),
    rule(8, Both, "one whole frame a datagram"),
    rule(9, Both, "datagrams no longer than agreed"),
    rule(10, Daemon, "datagrams carry their session, which is never 0"),
    rule(11, Both, "refuses kinds of the other side or not for now"),
    rule(12, Daemon, "grants no weaker level than asked for"),
    rule(13, Gateway, "drops foreign welcomes, leaves impossible ones"),
    rule(14, Both, "frames within the limits of the welcome"),
    rule(15, Daemon, "one record a frame, equal whenever it is repeated"),
    rule(16, Daemon, "counts add up, exceptions are listed"),
    rule(17, Gateway, "only a record acknowledges"),
    rule(18, Daemon, "acks fit a small receive buffer"),
    rule(19, Gateway, "unknown details are \"not said\""),
    rule(20, Both, "a ping gets one pong, at once"),
    rule(21, Gateway, "sends undecided again, in a new frame, after a wait"),
    rule(22, Gateway, "sends nothing else again"),
    rule(23, Daemon, "answers when it is durable, not before"),
    rule(24, Daemon, "closes after a refusal on TCP"),
    rule(25, Both, "no busy on TCP; a gateway told so resumes"),
    rule(26, Both, "a refusal ends a UDP session or leaves it as it was"),
    rule(27, Daemon, "refuses no refusal, and never at length"),
    rule(28, Daemon, "counts refusals by code"),
    rule(29, Gateway, "ignores other addresses and other sessions on UDP"),
    rule(30, Gateway, "waits longer before each further attempt"),
    rule(31, Gateway, "says hello first, and nothing else before the welcome"),
    rule(32, Daemon, "answers a hello with a welcome or the right refusal"),
    rule(33, Both, "a second session is welcomed; no gateway uses two"),
    rule(34, Gateway, "leaves with goodbye, and new frames end there"),
    rule(35, Daemon, "answers all after goodbye, then ends"),
    rule(36, Daemon, "says goodbye when it stops, and answers what it began"),
    rule(37, Gateway, "sends no frames to a draining daemon, then resumes"),
    rule(38, Gateway, "pings in silence, at a third of the idle timeout"),
    rule(39, Both, "ends a session that is silent for the idle timeout"),
    rule(40, Gateway, "stays with a daemon that answers pings"),
    rule(41, Gateway, "numbers frames from 1, one by one, each for one frame"),
    rule(42, Gateway, "begins with first_unacked and leaves no gap"),
    rule(43, Gateway, "repeats byte for byte, but for an age"),
    rule(44, Gateway, "stays within the window"),
    rule(45, Daemon, "keeps the records of a window of frames"),
    rule(46, Daemon, "knows new frames, repeats, gaps and reuse apart"),
    rule(47, Daemon, "decides anew what was undecided"),
    rule(48, Daemon, "decides in the order of arrival"),
    rule(49, Gateway, "resumes at the lowest frame without a record"),
    rule(50, Gateway, "an epoch never returns with another numbering"),
    rule(51, Gateway, "begins a new epoch when its numbering is lost"),
    rule(52, Gateway, "may keep its epoch over a reboot"),
    rule(53, Gateway, "takes last_acked for a hint"),
    rule(54, Gateway, "repeats its hello, less and less often"),
    rule(55, Daemon, "answers a repeated hello with the same session"),
    rule(56, Daemon, "a session belongs to one address"),
    rule(57, Daemon, "a window of 64 frames at most on UDP"),
    rule(58, Gateway, "the retransmission timeout follows RFC 6298"),
    rule(59, Gateway, "repeats after it, and doubles it"),
    rule(60, Gateway, "repeats slowly what has arrived"),
    rule(61, Gateway, "waits as long as busy says"),
    rule(62, Daemon, "acks in time"),
    rule(63, Daemon, "acks a repeat of what is in progress at once"),
    rule(64, Gateway, "takes ages anew for every transmission"),
    rule(65, Gateway, "compares its clock with the daemon's"),
    rule(66, Both, "the highest version that both speak"),
    rule(67, Both, "skips unknown kinds, unless they are critical"),
    rule(68, Both, "later versions add no fields behind a body"),
    rule(69, Gateway, "goes to another daemon where it would connect again"),
];

/// The chapters that have rules; R69 stands out of order.
pub(super) const CHAPTERS: [Chapter; 12] = [
    chapter("1, 2  Frame", 1, 4),
    chapter("3  Datagram", 5, 10),
    chapter("4  Messages", 11, 20),
    chapter("5  Outcomes", 21, 23),
    chapter("6  Refusals", 24, 30),
    chapter("7  Sessions", 31, 40),
    chapter("7.5  Several daemons", 69, 69),
    chapter("8  Sequences, window, repeats", 41, 53),
    chapter("10.1  UDP: hello", 54, 57),
    chapter("10.3  UDP: retransmission", 58, 63),
    chapter("11  Clocks", 64, 65),
    chapter("12  Versions, unknown kinds", 66, 68),
];

const fn chapter(title: &'static str, first: u8, last: u8) -> Chapter {
    Chapter { title, first, last }
}

/// The rule of a number.
pub(super) fn of_number(number: u8) -> Option<Rule> {
    RULES.into_iter().find(|rule| rule.number == number)
}

/// Reads `R17` or `17`.
pub(super) fn parse(text: &str) -> Result<u8, String> {
    let digits = text.strip_prefix(['R', 'r']).unwrap_or(text);
    let number = digits.parse().ok().filter(|number| of_number(*number).is_some());
    number.ok_or_else(|| format!("the rules are R1 to R{}", RULES.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = include_str!("../../../protocol/SPEC.md");

    /// The paragraph of each rule, by number.
    fn paragraphs() -> Vec<(u8, String)> {
        let mut found: Vec<(u8, String)> = Vec::new();
        let mut inside = false;
        for line in SPEC.lines() {
            let rule = line.strip_prefix("- **R").and_then(|rest| rest.split_once("**"));
            if let Some((Ok(number), text)) = rule.map(|(number, text)| (number.parse(), text)) {
                found.push((number, text.to_owned()));
                inside = true;
            } else if inside && line.starts_with("  ") {
                found.last_mut().unwrap().1 += line;
            } else {
                inside = false;
            }
        }
        found
    }

    #[test]
    fn the_table_has_every_rule_of_the_document_and_its_parties() {
        let paragraphs = paragraphs();
        assert_eq!(paragraphs.len(), RULES.len());
        for (number, text) in paragraphs {
            let rule = of_number(number).unwrap_or_else(|| panic!("R{number} is missing"));
            let both = text.contains("(GD)");
            let [gateway, daemon] = ["(G)", "(D)"].map(|mark| both || text.contains(mark));
            assert_eq!(rule.parties.include(Side::Gateway), gateway, "R{number} and a gateway");
            assert_eq!(rule.parties.include(Side::Daemon), daemon, "R{number} and a daemon");
        }
    }

    #[test]
    fn numbers_are_in_order_and_every_rule_is_in_one_chapter() {
        for (rule, number) in RULES.iter().zip(1..) {
            assert_eq!(rule.number, number);
            let chapters = CHAPTERS.iter().filter(|chapter| (chapter.first..=chapter.last).contains(&number));
            assert_eq!(chapters.count(), 1, "R{number}");
        }
    }

    #[test]
    fn rules_are_named_as_the_document_does() {
        assert_eq!((parse("R17"), parse("r1"), parse("69")), (Ok(17), Ok(1), Ok(69)));
        for text in ["R0", "R70", "R", "17x", ""] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
