//! What a misspelt word probably should be.

/// The nearest of `known`, if one is near enough to be meant.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let near = known.iter().map(|known| (distance(word, known), *known)).min()?;
    let enough = (word.len() / 3).max(2);
    (near.0 <= enough && near.0 < near.1.len()).then_some(near.1)
}

/// Insertions, deletions and replacements between two words (Wagner and Fischer 1974); long words are far from all.
fn distance(word: &str, known: &str) -> usize {
    if word.len() > MOST_COMPARED {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (i, a) in word.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (b, above) in known.bytes().zip(row.iter_mut().skip(1)) {
            let cheapest = (diagonal + usize::from(a != b)).min(left + 1).min(*above + 1);
            diagonal = std::mem::replace(above, cheapest);
            left = cheapest;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

const MOST_COMPARED: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_meant_and_the_far_is_not() {
        let known = ["connect", "total", "tls", "receipt_within"];
        for (word, meant) in [
            ("conect", Some("connect")),
            ("totals", Some("total")),
            ("ttl", Some("tls")),
            ("receipt_with", Some("receipt_within")),
            ("receipt-within", Some("receipt_within")),
            ("port", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &known), meant, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(1000), &known), None);
    }
}
