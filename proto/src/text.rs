//! Text that somebody else wrote, and what of it may be shown.

/// Whether a character of a stranger's text may be shown. Control characters are obeyed by terminals. Others are not seen, and
/// make what is around them look like something else: they turn the direction of writing (U+061C, U+200E–200F, U+202A–202E,
/// U+2066–2069), have no width (U+200B–200D, U+2060–2065, U+FEFF) or end a line or paragraph (U+2028–2029).
///
/// This is about showing. A claim may hold such characters (proto/README.md, "Limits"): whether it can be read must not depend on
/// what Unicode makes of a character next year.
pub fn is_plain(character: char) -> bool {
    !character.is_control() && !is_deceptive(character)
}

/// Whether a character is not seen itself and changes how others are; control characters are another matter.
pub const fn is_deceptive(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_and_changes_what_is_is_not_plain() {
        let deceptive: Vec<char> = ('\0'..=char::MAX)
            .filter(|character| is_deceptive(*character))
            .collect();
        let ranges = [
            '\u{61c}'..='\u{61c}',
            '\u{200b}'..='\u{200f}',
            '\u{2028}'..='\u{202e}',
            '\u{2060}'..='\u{2069}',
            '\u{feff}'..='\u{feff}',
        ];
        let listed: Vec<char> = ranges.into_iter().flatten().collect();
        assert_eq!(deceptive, listed);
        for plain in " aé…日\u{a0}\u{202f}\u{1f600}".chars() {
            assert!(is_plain(plain), "{plain:?}");
        }
        for other in ['\0', '\n', '\u{1b}', '\u{7f}', '\u{9b}', '\u{202e}'] {
            assert!(!is_plain(other), "{other:?}");
        }
    }
}
