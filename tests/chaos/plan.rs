//! What each request of a round will be: drawn from the seed before the round begins, known to clients, server and checker.

use std::ops::Range;

/// SplitMix64: small, and the same numbers for the same seed on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn of(seed: u64, stream: u64) -> Self {
        let mut random = Self(seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95));
        random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub(crate) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// One of these, by weight.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[(usize, T)]) -> T {
        let mut at = self.below(choices.iter().map(|(weight, _)| weight).sum());
        for (weight, choice) in choices {
            if at < *weight {
                return *choice;
            }
            at -= weight;
        }
        unreachable!("the weights add up")
    }
}

/// The delivery class, which the route decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// No event matches: lossy.
    Unmatched,
    Lossy,
    Backpressure,
    Durable,
    FailClosed,
}

impl Class {
    pub(crate) fn may_lose(self) -> bool {
        self <= Self::Lossy
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Unmatched => "plain",
            Self::Lossy => "lossy",
            Self::Backpressure => "backpressure",
            Self::Durable => "durable",
            Self::FailClosed => "closed",
        }
    }
}

/// What the handler does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum How {
    /// JSON of a known length.
    Whole,
    /// JSON in frames, of unknown length.
    Streamed,
    /// JSON in frames, whose body says with the last one that it has ended.
    EndAware,
    Large,
    LargeStreamed,
    Empty,
    NoContent,
    NotModified,
    NotFound,
    /// 500, with a failure that the handler reports.
    ServerError,
    Panics,
    PanicsInBody,
    /// The service returns an error.
    Fails,
    /// The body fails after a frame.
    BodyFails,
    /// Never answers.
    Stuck,
    /// The head and a frame, and nothing after it.
    Endless,
    /// As [`How::Endless`], an event that its client ends.
    Events,
    /// A timeout inside of the layer, as an error.
    InnerElapsed,
    /// A timeout inside of the layer, as a 408.
    Inner408,
    /// A timeout outside of the layer.
    Outer408,
    /// `grpc-status` in trailers.
    Grpc(u8),
    /// `grpc-status` in the head.
    GrpcHead(u8),
    Upgrade,
    /// The handler leaves the request out of the log.
    Skip,
}

impl How {
    /// The exchange ends only when its client leaves.
    pub(crate) fn waits_for_departure(self) -> bool {
        matches!(self, Self::Stuck | Self::Endless | Self::Events)
    }

    /// The HTTP/1 connection ends with it.
    fn ends_connection(self) -> bool {
        self.waits_for_departure()
            || matches!(
                self,
                Self::Panics | Self::PanicsInBody | Self::Fails | Self::BodyFails | Self::InnerElapsed | Self::Upgrade
            )
    }

    /// A response that arrives whole at a client that stays.
    pub(crate) fn is_answered(self) -> bool {
        !self.ends_connection() || self == Self::Upgrade
    }

    pub(crate) fn grpc_status(self) -> Option<u8> {
        match self {
            Self::Grpc(status) | Self::GrpcHead(status) => Some(status),
            _ => None,
        }
    }
}

/// What the client sends besides the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upload {
    None,
    Json { bytes: usize, chunked: bool },
    Form,
    Binary(usize),
}

/// How much of the upload the handler reads before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    All,
    Frame,
    Nothing,
}

/// When the client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Leaves {
    Never,
    InHead,
    InUpload,
    /// It closes its side of the connection in the middle of its upload, and reads on.
    HalfInUpload,
    /// It closes its side of the connection after its request, and reads on.
    HalfClosed,
    WhenBegun,
    /// At any time after the request.
    Soon,
    InDownload,
}

/// The layer between the outer layer and the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nested {
    No,
    Same,
    OtherAuditor,
    /// A route layer, which makes it a durable event with both stages.
    RouteLayer,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) n: u64,
    pub(crate) sharing: Sharing,
    pub(crate) class: Class,
    pub(crate) both: bool,
    pub(crate) method: &'static str,
    pub(crate) how: How,
    pub(crate) upload: Upload,
    pub(crate) reads: Reads,
    pub(crate) leaves: Leaves,
    pub(crate) nested: Nested,
    pub(crate) has_actor: bool,
    /// It sends and reads in small parts, with pauses.
    pub(crate) slow: bool,
    pub(crate) resets: bool,
}

/// How requests share a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sharing {
    /// HTTP/1, `connection: close`.
    Alone,
    KeepAlive,
    Pipelined,
    /// HTTP/2, all at once.
    Multiplexed,
    /// HTTP/2, all at once, and the connection breaks.
    Torn,
}

/// One connection and its requests, by their places in the round.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) sharing: Sharing,
    pub(crate) cases: Range<usize>,
}

/// All requests of a round.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) first: u64,
    pub(crate) cases: Vec<Case>,
    pub(crate) sessions: Vec<Session>,
}

impl Plan {
    /// `first`: the number of its first request, unique in the run.
    pub(crate) fn of(seed: u64, first: u64, requests: usize) -> Self {
        let random = &mut Random::of(seed, first);
        let mut plan = Self { first, cases: Vec::with_capacity(requests), sessions: Vec::new() };
        while plan.cases.len() < requests {
            let sharing = random.pick(&[
                (4, Sharing::Alone),
                (3, Sharing::KeepAlive),
                (2, Sharing::Pipelined),
                (4, Sharing::Multiplexed),
                (1, Sharing::Torn),
            ]);
            let begin = plan.cases.len();
            let most = if sharing == Sharing::Alone { 1 } else { 2 + random.below(10) };
            let end = (begin + most).min(requests);
            for at in begin..end {
                let case = Case::draw(random, first + at as u64, sharing, at + 1 == end);
                plan.cases.push(case);
            }
            plan.sessions.push(Session { sharing, cases: begin..end });
        }
        plan
    }

    pub(crate) fn case(&self, n: u64) -> &Case {
        &self.cases[usize::try_from(n - self.first).unwrap()]
    }
}

impl Case {
    fn draw(random: &mut Random, n: u64, sharing: Sharing, is_last: bool) -> Self {
        let is_http1 = sharing < Sharing::Multiplexed;
        loop {
            let case = Self { sharing, ..Self::draw_any(random, n, is_http1) };
            // Only the last request on a connection of HTTP/1 may end it.
            if !is_http1 || is_last || case.keeps_connection() {
                return case;
            }
        }
    }

    fn draw_any(random: &mut Random, n: u64, is_http1: bool) -> Self {
        let grpc = random.pick(&[(3, 0), (1, 5), (1, 14)]);
        let how = random.pick(&[
            (24, How::Whole),
            (8, How::Streamed),
            (5, How::EndAware),
            (2, How::Large),
            (2, How::LargeStreamed),
            (5, How::Empty),
            (5, How::NoContent),
            (4, How::NotModified),
            (6, How::NotFound),
            (4, How::ServerError),
            (3, How::Panics),
            (3, How::PanicsInBody),
            (3, How::Fails),
            (3, How::BodyFails),
            (5, How::Stuck),
            (4, How::Endless),
            (4, How::Events),
            (2, How::InnerElapsed),
            (2, How::Inner408),
            (2, How::Outer408),
            (4, How::Grpc(grpc)),
            (2, How::GrpcHead(grpc)),
            (if is_http1 { 3 } else { 0 }, How::Upgrade),
            (2, How::Skip),
        ]);
        let class = match how {
            How::Events => random.pick(&[(1, Class::Lossy), (1, Class::Backpressure)]),
            _ => random.pick(&[
                (1, Class::Unmatched),
                (3, Class::Lossy),
                (3, Class::Backpressure),
                (3, Class::Durable),
                (2, Class::FailClosed),
            ]),
        };
        let method = match how {
            How::Grpc(_) | How::GrpcHead(_) => "POST",
            How::Upgrade | How::Stuck | How::Endless | How::Events => "GET",
            _ => random.pick(&[(5, "GET"), (5, "POST"), (1, "HEAD")]),
        };
        let upload = match method {
            "POST" => random.pick(&[
                (1, Upload::None),
                (6, Upload::Json { bytes: 200, chunked: false }),
                (3, Upload::Json { bytes: 600, chunked: true }),
                (1, Upload::Json { bytes: 150_000, chunked: false }),
                (1, Upload::Json { bytes: 60_000, chunked: true }),
                (2, Upload::Form),
                (1, Upload::Binary(80_000)),
            ]),
            _ => Upload::None,
        };
        let in_upload = if upload == Upload::None { 0 } else { 6 };
        let leaves = if how == How::Stuck {
            random.pick(&[(4, Leaves::WhenBegun), (1, Leaves::Soon)])
        } else if how.waits_for_departure() {
            Leaves::InDownload
        } else {
            random.pick(&[
                (60, Leaves::Never),
                (if is_http1 { 2 } else { 0 }, Leaves::InHead),
                (in_upload, Leaves::InUpload),
                (if is_http1 { in_upload / 3 } else { 0 }, Leaves::HalfInUpload),
                (if is_http1 { 3 } else { 0 }, Leaves::HalfClosed),
                (5, Leaves::Soon),
                (5, Leaves::InDownload),
            ])
        };
        let nested = match how {
            How::Events => Nested::No,
            _ => {
                random.pick(&[(20, Nested::No), (2, Nested::Same), (1, Nested::OtherAuditor), (1, Nested::RouteLayer)])
            }
        };
        Self {
            n,
            sharing: Sharing::Alone,
            class,
            both: class != Class::Unmatched && random.percent(40),
            method,
            how,
            upload,
            reads: random.pick(&[(6, Reads::All), (1, Reads::Frame), (2, Reads::Nothing)]),
            leaves,
            nested,
            has_actor: random.percent(80),
            slow: random.percent(4),
            resets: random.percent(60),
        }
    }

    /// Whether the HTTP/1 connection goes on after it. A server resets the connection of an upload that it did not read.
    pub(crate) fn keeps_connection(&self) -> bool {
        let is_read = self.upload == Upload::None || self.reads == Reads::All;
        self.leaves == Leaves::Never && !self.how.ends_connection() && is_read
    }

    /// Whether the handler's body is never sent.
    pub(crate) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    pub(crate) fn event_name(&self) -> String {
        match (self.how, self.class) {
            (_, Class::Unmatched) => "HttpRequest".to_owned(),
            (How::Events, class) => format!("{class:?}.Stream"),
            (_, class) if self.both => format!("{class:?}.Both"),
            (_, class) => format!("{class:?}.One"),
        }
    }

    /// `/class/stages/n`, with a canary and a secret in the query.
    pub(crate) fn url(&self) -> String {
        let Self { n, class, .. } = self;
        let kind = match self.how {
            How::Events => "stream",
            _ if self.both => "both",
            _ => "one",
        };
        format!("/{}/{kind}/{n}?canary=canary-{n}-query&token={}", class.path(), secret(*n, "query"))
    }

    pub(crate) fn content_type(&self) -> &'static str {
        match (self.how, self.upload) {
            (How::Grpc(_) | How::GrpcHead(_), _) => "application/grpc",
            (_, Upload::Form) => "application/x-www-form-urlencoded",
            (_, Upload::Binary(_)) => "application/octet-stream",
            _ => "application/json",
        }
    }

    /// The bytes of the upload.
    pub(crate) fn upload(&self) -> Vec<u8> {
        let n = self.n;
        match self.upload {
            Upload::None => Vec::new(),
            Upload::Form => format!("canary=canary-{n}-form&password={}", secret(n, "form")).into_bytes(),
            Upload::Binary(bytes) => vec![u8::try_from(n % 251).unwrap(); bytes],
            Upload::Json { bytes, .. } => json(n, "upload", bytes),
        }
    }

    pub(crate) fn is_chunked(&self) -> bool {
        matches!(self.upload, Upload::Json { chunked: true, .. })
    }

    /// The status of the handler's answer, if it gives one.
    pub(crate) fn answers(&self) -> u16 {
        match self.how {
            How::NoContent => 204,
            How::NotModified => 304,
            How::NotFound => 404,
            How::ServerError => 500,
            How::Inner408 | How::Outer408 => 408,
            How::Upgrade => 101,
            _ => 200,
        }
    }

    /// The frames of the handler's body.
    pub(crate) fn frames(&self) -> Vec<Vec<u8>> {
        let n = self.n;
        match self.how {
            How::Large | How::LargeStreamed => json(n, "answer", 200_000).chunks(16_000).map(<[u8]>::to_vec).collect(),
            How::Streamed | How::EndAware => json(n, "answer", 300).chunks(100).map(<[u8]>::to_vec).collect(),
            How::Whole
            | How::NotFound
            | How::ServerError
            | How::Inner408
            | How::Skip
            | How::NoContent
            | How::NotModified => {
                vec![json(n, "answer", 200)]
            }
            How::Events => (0..2).map(|at| format!("id: {at}\ndata: canary-{n}-event\n\n").into_bytes()).collect(),
            How::PanicsInBody | How::BodyFails | How::Endless => vec![json(n, "answer", 100)],
            How::Grpc(_) => vec![vec![0, 0, 0, 0, 3, 1, 2, 3]],
            _ => Vec::new(),
        }
    }
}

/// The beginning of every secret: no line may contain it.
pub(crate) const SECRET: &str = "OpenSesame";

/// The secret of a request in one place. Each is another, because a secret that is known from one place is masked in all.
pub(crate) fn secret(n: u64, place: &str) -> String {
    format!("{SECRET}{n:09}{place}Xq7Lr2")
}

/// An object of about this number of bytes, with a canary and a secret.
fn json(n: u64, what: &str, bytes: usize) -> Vec<u8> {
    let begin =
        format!(r#"{{"canary":"canary-{n}-{what}","nested":{{"password":"{}","n":{n}}},"text":""#, secret(n, what));
    let filler = "x".repeat(bytes.saturating_sub(begin.len() + 2));
    format!("{begin}{filler}\"}}").into_bytes()
}
