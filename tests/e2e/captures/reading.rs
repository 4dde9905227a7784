//! One direction of a connection, read with our codec alone as the bytes come.

use proto::tunnel::{
    self, BodyReader, ErrorBody, HeadError,
    connect::{self, Preamble, Reply},
    enproxy,
};

/// What the head of a message said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Head {
    Request(tunnel::Request),
    Response(enproxy::Response),
    /// The tunnel is open: what follows goes through it.
    Open,
    /// It is not; and the same head as any response's.
    Refused(u16, enproxy::Response),
}

/// A message. The text is that of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) head: Head,
    pub(super) length: usize,
    /// Did `100 Continue` come before it?
    pub(super) interim: bool,
    pub(super) body: Vec<u8>,
    pub(super) text: String,
    pub(super) done: bool,
}

/// What the next response answers, which decides how it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Call,
    Health,
    Connect,
}

/// A reader of requests, or of responses to what was asked.
#[derive(Clone, Debug)]
pub(super) struct Reading<'a> {
    asked: Option<&'a [Asked]>,
    buffer: Vec<u8>,
    state: State,
    pub(super) messages: Vec<Message>,
    /// What came through an open tunnel.
    pub(super) tunnel: Vec<u8>,
    pub(super) broken: Option<String>,
}

#[derive(Clone, Debug)]
enum State {
    Head,
    Body(BodyReader, Option<ErrorBody>),
    Tunnel(Option<Preamble>),
}

impl<'a> Reading<'a> {
    /// As the server reads.
    pub(super) fn requests() -> Self {
        Self::new(None)
    }

    /// As the client reads.
    pub(super) fn responses(asked: &'a [Asked]) -> Self {
        Self::new(Some(asked))
    }

    fn new(asked: Option<&'a [Asked]>) -> Self {
        Self {
            asked,
            buffer: Vec::new(),
            state: State::Head,
            messages: Vec::new(),
            tunnel: Vec::new(),
            broken: None,
        }
    }

    /// How many messages have come to their end.
    pub(super) fn finished(&self) -> usize {
        self.messages.iter().filter(|message| message.done).count()
    }

    /// Have all bytes been made use of?
    pub(super) fn is_idle(&self) -> bool {
        self.buffer.is_empty() && self.messages.iter().all(|message| message.done)
    }

    /// The connection closes here.
    pub(super) fn close(&mut self) {
        if let State::Body(body, _) = &mut self.state {
            match body.close() {
                Ok(()) => self.finish(),
                Err(error) => self.broken = Some(error.to_string()),
            }
        }
        if let State::Tunnel(Some(preamble)) = self.state {
            self.tunnel.extend_from_slice(preamble.finish());
        }
    }

    /// Takes what has come.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        let mut used = 0;
        while self.broken.is_none() {
            match self.step(used) {
                Ok(Some(more)) => used += more,
                Ok(None) => break,
                Err(error) => self.broken = Some(error),
            }
        }
        self.buffer.drain(..used);
    }

    /// How many bytes were used, from `at` on; `None` when nothing can be done without more.
    fn step(&mut self, at: usize) -> Result<Option<usize>, String> {
        let input = &self.buffer[at..];
        match &mut self.state {
            State::Head => self.head(at).map_err(|error| error.to_string()),
            State::Tunnel(preamble) => {
                let parts = match preamble {
                    Some(preamble) => preamble.strip(input),
                    None => [&[][..], input],
                };
                parts.iter().for_each(|part| self.tunnel.extend_from_slice(part));
                Ok((!input.is_empty()).then_some(input.len()))
            }
            State::Body(..) if input.is_empty() => Ok(None),
            State::Body(body, text) => {
                let piece = body.read(input).map_err(|error| error.to_string())?;
                if let Some(message) = self.messages.last_mut() {
                    message.body.extend_from_slice(piece.data);
                }
                if let Some(text) = text {
                    text.push(&input[..piece.consumed]);
                }
                let (used, done) = (piece.consumed, body.is_done());
                if done {
                    self.finish();
                }
                Ok(Some(used))
            }
        }
    }

    fn finish(&mut self) {
        if let (State::Body(_, text), Some(message)) = (&self.state, self.messages.last_mut()) {
            message.text = text.as_ref().map_or_else(String::new, ErrorBody::text);
            message.done = true;
        }
        self.state = State::Head;
    }

    fn head(&mut self, at: usize) -> Result<Option<usize>, HeadError> {
        let input = &self.buffer[at..];
        if input.is_empty() {
            return Ok(None);
        }
        let Some((head, length, state)) = self.decode(input)? else {
            return Ok(None);
        };
        let done = match &state {
            State::Head | State::Tunnel(_) => true,
            State::Body(body, _) => body.is_done(),
        };
        self.messages.push(Message {
            head,
            length,
            interim: input.starts_with(enproxy::CONTINUE),
            body: Vec::new(),
            text: String::new(),
            done,
        });
        self.state = if matches!(state, State::Body(..)) && done {
            State::Head
        } else {
            state
        };
        Ok(Some(length))
    }

    fn decode(&self, input: &[u8]) -> Result<Option<(Head, usize, State)>, HeadError> {
        let Some(asked) = self.asked else {
            return Ok(tunnel::decode_request(input)?.map(|(request, length)| {
                let state = match &request {
                    tunnel::Request::Connect(_) => State::Tunnel(None),
                    tunnel::Request::Enproxy(request) => State::Body(BodyReader::new(request.body), None),
                };
                (Head::Request(request), length, state)
            }));
        };
        let Some((response, length)) = enproxy::decode_response(input)? else {
            return Ok(None);
        };
        let body = BodyReader::new(response.body);
        Ok(Some(match asked.get(self.messages.len()) {
            None => panic!("a response that nobody asked for: {response:?}"),
            // RFC 9110 section 9.3.2: a response to HEAD has no body.
            Some(Asked::Health) => (Head::Response(response), length, State::Head),
            Some(Asked::Call) => {
                let text = (response.status / 100 != 2).then(|| ErrorBody::new(response.body));
                (Head::Response(response), length, State::Body(body, text))
            }
            Some(Asked::Connect) => match connect::decode_reply(input)? {
                None => return Ok(None),
                Some((Reply::Open(preamble), length)) => (Head::Open, length, State::Tunnel(Some(preamble))),
                Some((Reply::Refused { status, body: text }, length)) => {
                    (Head::Refused(status, response), length, State::Body(body, Some(text)))
                }
            },
        }))
    }
}
