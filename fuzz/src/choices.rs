//! An input as a list of choices. A byte is a choice, and 0 is the honest one throughout, so that an empty input builds
//! something honest, a seed can be written by hand, and the fuzzer bends one thing by changing one byte.

use arbitrary::{Arbitrary, Unstructured};

/// The rest of an input.
pub struct Choices<'a>(Unstructured<'a>);

impl<'a> Choices<'a> {
    /// All of an input.
    pub fn new(input: &'a [u8]) -> Self {
        Self(Unstructured::new(input))
    }

    /// Whether nothing is left; every further choice is 0.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// A byte; 0 when nothing is left.
    pub fn byte(&mut self) -> u8 {
        self.any()
    }

    /// Any value; the one of all zeros when nothing is left.
    pub fn any<T: Arbitrary<'a> + Default>(&mut self) -> T {
        self.0.arbitrary().unwrap_or_default()
    }

    /// A number below `below`, which is at most 256.
    pub fn below(&mut self, below: usize) -> usize {
        usize::from(self.byte()) % below.max(1)
    }

    /// One of these; the first is the honest one.
    pub fn of<'o, T>(&mut self, options: &'o [T]) -> &'o T {
        &options[self.below(options.len())]
    }

    /// Whether to do otherwise than an honest party: one byte in eight says so.
    pub fn twist(&mut self) -> bool {
        self.byte() % 8 == 1
    }

    /// A run of bytes of at most `most`, as long as its first byte says.
    pub fn bytes(&mut self, most: usize) -> &'a [u8] {
        let length = usize::from(self.byte()).min(most).min(self.0.len());
        self.0.bytes(length).unwrap_or_default()
    }

    /// Whatever is left.
    pub fn rest(self) -> &'a [u8] {
        self.0.take_rest()
    }

    /// A number that is small more often than not: one byte of exponent, two of value.
    pub fn number(&mut self) -> u64 {
        let shift = u32::from(self.byte() % 48);
        u64::from(self.any::<u16>()).wrapping_shl(shift)
    }

    /// Readable text of at most `most` bytes.
    pub fn text(&mut self, most: usize) -> String {
        String::from_utf8_lossy(self.bytes(most)).into_owned()
    }
}

/// A change of bytes that leaves them different.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Mutation {
    /// A bit is flipped.
    Flip(u16, u8),
    /// A byte is left out.
    Drop(u16),
    /// A byte is put in.
    Insert(u16, u8),
    /// The end is cut off.
    Cut(u16),
    /// A byte is added.
    Append(u8),
    /// A byte is replaced.
    Replace(u16, u8),
    /// A run of bytes is doubled.
    Double(u16, u8),
}

impl Mutation {
    /// Changes `bytes`.
    pub fn apply(self, bytes: &mut Vec<u8>) {
        let place = |at: u16, length: usize| usize::from(at) % length.max(1);
        let length = bytes.len();
        match self {
            Self::Flip(at, bit) if length > 0 => bytes[place(at, length)] ^= 1 << (bit % 8),
            Self::Drop(at) if length > 0 => {
                bytes.remove(place(at, length));
            }
            Self::Cut(at) => bytes.truncate(place(at, length)),
            Self::Replace(at, byte) if length > 0 => bytes[place(at, length)] = byte,
            Self::Double(at, run) if length > 0 => {
                let start = place(at, length);
                let run = bytes[start..length.min(start + usize::from(run) + 1)].to_vec();
                bytes.splice(start..start, run);
            }
            Self::Insert(at, byte) => bytes.insert(place(at, length + 1), byte),
            Self::Flip(_, byte) | Self::Append(byte) | Self::Replace(_, byte) => bytes.push(byte),
            Self::Drop(_) | Self::Double(..) => bytes.push(0),
        }
    }
}

/// `bytes` with one to four changes; `None` when they undid each other.
pub fn mutated(bytes: &[u8], choices: &mut Choices<'_>) -> Option<Vec<u8>> {
    let mut changed = bytes.to_vec();
    for _ in 0..=choices.below(4) {
        // An input that is over still changes something.
        choices
            .0
            .arbitrary::<Mutation>()
            .unwrap_or(Mutation::Append(0))
            .apply(&mut changed);
    }
    (changed != bytes).then_some(changed)
}
