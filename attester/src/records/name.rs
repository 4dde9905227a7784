//! Domain names as we write and read them: lower case, without the final dot, and nothing that needs escaping.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// A host name in the preferred syntax of RFC 1123 section 2.1, plus the underscore that service names use.
///
/// Names compare and sort as their lower-case text. Cloning is cheap.
///
/// ```
/// use attester::records::Name;
///
/// let zone = Name::parse("Demo.Test.")?;
/// assert_eq!(zone.as_str(), "demo.test");
/// assert!(zone.child("roundrobin")?.is_within(&zone));
/// # Ok::<(), attester::records::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// Why a text is not a domain name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty, or nothing but a dot.
    #[error("a domain name cannot be empty")]
    Empty,
    /// RFC 1035 section 2.3.4 allows 255 bytes on the wire, which is 253 characters of text.
    #[error("a domain name has at most 253 characters, and this one has {length}")]
    TooLong {
        /// Characters found.
        length: usize,
    },
    /// Two dots follow each other, or one comes first.
    #[error("the domain name {name:?} has an empty label: remove the dot that is too many")]
    EmptyLabel {
        /// The name as given.
        name: String,
    },
    /// A label is longer than 63 characters.
    #[error("a label of a domain name has at most 63 characters, and {label:?} has {}", label.len())]
    LabelTooLong {
        /// The label as given.
        label: String,
    },
    /// A label holds something else than letters, digits, hyphens and underscores, or has a hyphen at an end.
    #[error(
        "the label {label:?} of a domain name may hold letters, digits, hyphens (not first or last) and underscores only"
    )]
    BadLabel {
        /// The label as given.
        label: String,
    },
    /// The last label is a number: an IP address where a name was expected.
    #[error("{name:?} is no domain name: its last label is a number, as in an IP address")]
    Numeric {
        /// The name as given.
        name: String,
    },
}

impl Name {
    /// Reads a name. Upper case is folded, one final dot is dropped.
    ///
    /// # Errors
    /// [`NameError`] names the label at fault.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let bare = text.strip_suffix('.').unwrap_or(text);
        if bare.is_empty() {
            return Err(NameError::Empty);
        }
        // Checked before anything is copied: an error never carries more than this.
        if bare.len() > MAX_TEXT {
            return Err(NameError::TooLong { length: bare.len() });
        }
        for label in bare.split('.') {
            check_label(label, bare)?;
        }
        if bare.rsplit('.').next().is_some_and(is_number) {
            return Err(NameError::Numeric { name: bare.to_owned() });
        }
        Ok(Self(bare.to_ascii_lowercase().into()))
    }

    /// The name as text: lower case, no final dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of `label` (one or several labels) directly under this one.
    ///
    /// # Errors
    /// [`NameError`] when the label is none, or the whole gets too long.
    pub fn child(&self, label: &str) -> Result<Self, NameError> {
        Self::parse(&format!("{label}.{self}"))
    }

    /// The name without its first label; `None` for a top-level name.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.split_once('.').map(|(_, rest)| Self(rest.into()))
    }

    /// Whether this name is `zone` itself or below it.
    #[must_use]
    pub fn is_within(&self, zone: &Self) -> bool {
        self.0
            .strip_suffix(zone.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.as_str().to_owned()
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({})", self.0)
    }
}

fn check_label(label: &str, name: &str) -> Result<(), NameError> {
    if label.is_empty() {
        return Err(NameError::EmptyLabel { name: name.to_owned() });
    }
    if label.len() > MAX_LABEL {
        return Err(NameError::LabelTooLong {
            label: label.to_owned(),
        });
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !label.bytes().all(allowed) || label.starts_with('-') || label.ends_with('-') {
        return Err(NameError::BadLabel {
            label: label.to_owned(),
        });
    }
    Ok(())
}

fn is_number(label: &str) -> bool {
    label.bytes().all(|byte| byte.is_ascii_digit())
}

/// RFC 1035 section 2.3.4: 255 bytes on the wire, less the first length byte and the root label.
const MAX_TEXT: usize = 253;
/// RFC 1035 section 2.3.4.
const MAX_LABEL: usize = 63;
