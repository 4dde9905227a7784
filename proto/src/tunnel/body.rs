//! Bodies: an incremental decoder that is right at every split point, and the chunk encoder.

use super::{Framing, MAX_ERROR_TEXT};
use crate::text::is_plain;

/// Decodes one body from slices of any size.
///
/// ```
/// use proto::tunnel::{BodyReader, Framing};
/// let mut reader = BodyReader::new(Framing::Chunked);
/// let mut input: &[u8] = b"3\r\nabc\r\n0\r\n\r\nnext";
/// let mut body = Vec::new();
/// while !reader.is_done() && !input.is_empty() {
///     let piece = reader.read(input)?;
///     body.extend_from_slice(piece.data);
///     input = &input[piece.consumed..];
/// }
/// assert_eq!((body.as_slice(), input), (&b"abc"[..], &b"next"[..]));
/// # Ok::<(), proto::tunnel::BodyError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BodyReader {
    state: State,
}

/// One step of a [`BodyReader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// How many bytes of the input were used, framing included.
    pub consumed: usize,
    /// Body bytes. Empty only when all of the input was framing, or when the body is done.
    pub data: &'a [u8],
}

/// Why a body was refused. The connection cannot be used any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// A chunk does not start with a hexadecimal size.
    #[error("a chunk does not start with its size in hexadecimal")]
    ChunkSize,
    /// A chunk size that does not fit 64 bits.
    #[error("a chunk's size does not fit 64 bits")]
    ChunkTooLarge,
    /// A size line with extensions beyond the limit.
    #[error("a chunk's size line is longer than {MAX_CHUNK_LINE} bytes")]
    ChunkLineTooLong,
    /// A chunk or a line that does not end in CR LF. A bare LF is refused: two readers would disagree on it.
    #[error("a chunk does not end in CR LF")]
    ChunkEnd,
    /// Trailers beyond the limit.
    #[error("the trailers are longer than {MAX_TRAILERS} bytes")]
    TrailersTooLong,
    /// The connection closed inside the body.
    #[error("the connection closed before the body's end")]
    Truncated,
}

impl BodyReader {
    /// A reader at the first byte of a body.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(left) => State::Length { left },
            Framing::Chunked => State::size_line(),
            Framing::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    /// Is the body complete? Bytes that follow belong to the next message.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Takes some of `input`: at most one run of body bytes. Call again with the rest until it is empty or the body is done.
    ///
    /// # Errors
    /// The framing is broken; the reader must not be used again.
    pub fn read<'a>(&mut self, input: &'a [u8]) -> Result<Piece<'a>, BodyError> {
        let mut at = 0;
        while at < input.len() {
            let rest = &input[at..];
            let data = match &mut self.state {
                State::Done => break,
                State::UntilClose => rest,
                State::Length { left } | State::Data { left } => {
                    let data = take(rest, *left);
                    *left -= data.len() as u64;
                    data
                }
                framing => {
                    *framing = framing.step(input[at])?;
                    at += 1;
                    continue;
                }
            };
            self.state.settle();
            return Ok(Piece {
                consumed: at + data.len(),
                data,
            });
        }
        Ok(Piece {
            consumed: at,
            data: &[],
        })
    }

    /// Tells the reader that the connection closed.
    ///
    /// # Errors
    /// [`BodyError::Truncated`] unless the body was complete or lasts until the close.
    pub fn close(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::Done | State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(BodyError::Truncated),
        }
    }
}

/// Collects the body of an error response as text that is safe to show: at most [`MAX_ERROR_TEXT`] bytes, lossy, of plain
/// characters ([`is_plain`]). Real servers append binary garbage to some of theirs.
#[derive(Clone, Debug)]
pub struct ErrorBody {
    reader: BodyReader,
    kept: Vec<u8>,
}

impl ErrorBody {
    /// An empty text, to be read with this framing.
    pub fn new(framing: Framing) -> Self {
        Self {
            reader: BodyReader::new(framing),
            kept: Vec::new(),
        }
    }

    /// Takes what has arrived. True when there is nothing more to wait for: the body is complete or broken, or enough is kept.
    pub fn push(&mut self, mut input: &[u8]) -> bool {
        while !input.is_empty() && !self.is_done() {
            let Ok(piece) = self.reader.read(input) else {
                self.reader.state = State::Done;
                break;
            };
            self.kept
                .extend_from_slice(take(piece.data, (MAX_ERROR_TEXT - self.kept.len()) as u64));
            input = &input[piece.consumed..];
        }
        self.is_done()
    }

    /// Is there nothing more to wait for?
    pub fn is_done(&self) -> bool {
        self.reader.is_done() || self.kept.len() >= MAX_ERROR_TEXT
    }

    /// The text so far.
    pub fn text(&self) -> String {
        let lossy = String::from_utf8_lossy(&self.kept);
        let clean: String = lossy.chars().map(|c| if is_plain(c) { c } else { ' ' }).collect();
        clean.trim().to_owned()
    }
}

/// Appends one chunk. Empty data appends nothing: an empty chunk would end the body.
pub fn encode_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if !data.is_empty() {
        out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends the chunk that ends a body, without trailers.
pub fn encode_last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

/// Longest chunk size line accepted, extensions included, in bytes.
pub const MAX_CHUNK_LINE: usize = 256;
/// Most bytes of trailers accepted.
pub const MAX_TRAILERS: usize = 4096;

#[derive(Clone, Copy, Debug)]
enum State {
    Length {
        left: u64,
    },
    UntilClose,
    /// Hexadecimal digits of a size; `line` counts the bytes of this line.
    Size {
        size: u64,
        line: usize,
    },
    /// Blanks after the size, which some servers write, then CR or an extension.
    Padding {
        size: u64,
        line: usize,
    },
    Extension {
        size: u64,
        line: usize,
    },
    SizeLf {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// At the start of a trailer line; an empty one ends the body. `used` counts the bytes of all trailers.
    TrailerStart {
        used: usize,
    },
    Trailer {
        used: usize,
    },
    TrailerLf {
        used: usize,
    },
    LastLf,
    Done,
}

impl State {
    fn size_line() -> State {
        State::Size { size: 0, line: 0 }
    }

    /// Moves on when a run of data is complete.
    fn settle(&mut self) {
        match self {
            State::Length { left: 0 } => *self = State::Done,
            State::Data { left: 0 } => *self = State::DataCr,
            _ => {}
        }
    }

    /// One byte of framing.
    fn step(self, byte: u8) -> Result<State, BodyError> {
        match self {
            State::Size { line, .. } | State::Padding { line, .. } | State::Extension { line, .. }
                if line >= MAX_CHUNK_LINE =>
            {
                Err(BodyError::ChunkLineTooLong)
            }
            State::Size { size, line } => size_byte(size, line, byte),
            State::Padding { size, line } => after_size(size, line, byte),
            State::Extension { size, .. } if byte == b'\r' => Ok(State::SizeLf { size }),
            State::Extension { .. } if byte == b'\n' => Err(BodyError::ChunkEnd),
            State::Extension { size, line } => Ok(State::Extension { size, line: line + 1 }),
            State::SizeLf { size } => expect(
                byte,
                b'\n',
                if size == 0 {
                    State::TrailerStart { used: 0 }
                } else {
                    State::Data { left: size }
                },
            ),
            State::DataCr => expect(byte, b'\r', State::DataLf),
            State::DataLf => expect(byte, b'\n', State::size_line()),
            State::TrailerStart { .. } if byte == b'\r' => Ok(State::LastLf),
            State::TrailerStart { used } | State::Trailer { used } => trailer_byte(used, byte),
            State::TrailerLf { used } => expect(byte, b'\n', State::TrailerStart { used }),
            State::LastLf => expect(byte, b'\n', State::Done),
            State::Length { .. } | State::UntilClose | State::Data { .. } | State::Done => Ok(self),
        }
    }
}

fn size_byte(size: u64, line: usize, byte: u8) -> Result<State, BodyError> {
    match (byte as char).to_digit(16) {
        Some(digit) => {
            let size = size.checked_mul(16).ok_or(BodyError::ChunkTooLarge)? + u64::from(digit);
            Ok(State::Size { size, line: line + 1 })
        }
        None if line == 0 => Err(BodyError::ChunkSize),
        None => after_size(size, line, byte),
    }
}

fn after_size(size: u64, line: usize, byte: u8) -> Result<State, BodyError> {
    match byte {
        b'\r' => Ok(State::SizeLf { size }),
        b' ' | b'\t' => Ok(State::Padding { size, line: line + 1 }),
        b';' => Ok(State::Extension { size, line: line + 1 }),
        b'\n' => Err(BodyError::ChunkEnd),
        _ => Err(BodyError::ChunkSize),
    }
}

fn trailer_byte(used: usize, byte: u8) -> Result<State, BodyError> {
    match byte {
        _ if used >= MAX_TRAILERS => Err(BodyError::TrailersTooLong),
        b'\r' => Ok(State::TrailerLf { used: used + 1 }),
        b'\n' => Err(BodyError::ChunkEnd),
        _ => Ok(State::Trailer { used: used + 1 }),
    }
}

fn expect(byte: u8, wanted: u8, next: State) -> Result<State, BodyError> {
    if byte == wanted {
        Ok(next)
    } else {
        Err(BodyError::ChunkEnd)
    }
}

/// The first `limit` bytes of a slice, or all of it.
fn take(slice: &[u8], limit: u64) -> &[u8] {
    &slice[..usize::try_from(limit).map_or(slice.len(), |limit| slice.len().min(limit))]
}
