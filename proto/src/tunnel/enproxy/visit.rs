//! What a request is to a web server that knows nothing of enproxy. A peer may have to pass for nginx, so nginx's rules are asked.

/// What nginx makes of a request line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// A request for something that a site may have.
    Page,
    /// `TRACE`, which it never allows.
    NotAllowed,
    /// No request: a method with other letters than capitals, a target that is no path of the site.
    Bad,
}

impl Visit {
    pub(super) fn of(method: &str, target: &str) -> Self {
        let capital = |byte: u8| byte.is_ascii_uppercase() || byte == b'_' || byte == b'-';
        if !method.bytes().all(capital) || !path(target).is_some_and(is_of_the_site) {
            Self::Bad
        } else if method == "TRACE" {
            Self::NotAllowed
        } else {
            Self::Page
        }
    }
}

/// The path of a target, undecoded and without query; `None` when the target is neither a path nor an absolute URL.
fn path(target: &str) -> Option<&str> {
    let path = if target.starts_with('/') {
        target
    } else {
        let (scheme, rest) = target.split_once("://")?;
        let lettered = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphabetic());
        if !lettered || rest.is_empty() || rest.starts_with('/') {
            return None;
        }
        rest.find('/').map_or("/", |slash| &rest[slash..])
    };
    path.split(['?', '#']).next()
}

/// Are all escapes whole and none of them a NUL, and does no `..` lead out of the root?
fn is_of_the_site(path: &str) -> bool {
    let mut depth = 0_usize;
    for segment in path.split('/') {
        let Some(segment) = plain(segment) else { return false };
        // An escaped slash ends a segment like any other.
        for segment in segment.split(|&byte| byte == b'/') {
            match segment {
                b"" | b"." => {}
                b".." if depth == 0 => return false,
                b".." => depth -= 1,
                _ => depth += 1,
            }
        }
    }
    true
}

/// A segment without its escapes.
fn plain(segment: &str) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => super::path::hex_pair(bytes.next(), bytes.next()).filter(|&byte| byte != 0)?,
            other => other,
        });
    }
    Some(plain)
}
