//! Text that looks the same is the same: how short answers are compared.

use unicode_normalization::UnicodeNormalization;

/// The form under which two texts are one answer: without compatibility differences (NFKC), case (full case folding of
/// Unicode: `Straße` is `STRASSE`, a final sigma a sigma), invisible characters and differences of white space; with one
/// apostrophe, one quotation mark and one dash for all that people type.
///
/// `folded(folded(text)) == folded(text)`.
pub(crate) fn folded(text: &str) -> String {
    // NFKC takes some of these apart (an acute accent becomes a space and a combining one): first they are made one.
    let once = |text: &str| -> String {
        let plain = text.nfkc().filter(|c| !is_invisible(*c)).map(unified);
        caseless::default_case_fold_str(&plain.collect::<String>()).nfkc().collect()
    };
    let unified: String = text.chars().filter(|c| !is_invisible(*c)).map(unified).collect();
    // Twice: folding may leave something that composes, and composing something that folds (Unicode, definition D146).
    once(&once(&unified)).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Characters that show nothing by themselves: those of `Default_Ignorable_Code_Point` that stand in texts.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// One character for all that are typed for it.
pub(crate) fn unified(c: char) -> char {
    match c {
        '`'
        | '\u{b4}'
        | '\u{2b9}'
        | '\u{2bb}'..='\u{2bd}'
        | '\u{2c8}'
        | '\u{2018}'..='\u{201b}'
        | '\u{2032}'
        | '\u{2035}'
        | '\u{a78c}' => '\'',
        '\u{ab}' | '\u{bb}' | '\u{201c}'..='\u{201f}' | '\u{2033}' | '\u{2036}' | '\u{301d}'..='\u{301f}' => '"',
        '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{2e3a}' | '\u{2e3b}' => '-',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_that_look_the_same_are_the_same() {
        for (one, other) in [
            ("café", "cafe\u{301}"),
            ("résumé", "re\u{301}sume\u{301}"),
            ("Straße", "STRASSE"),
            ("STRAẞE", "strasse"),
            ("ΟΔΟΣ", "οδος"),
            ("οδοσ", "ΟΔΟς"),
            ("don't", "don\u{2019}t"),
            ("don't", "don\u{b4}t"),
            ("don't", "don`t"),
            ("l\u{2bc}eau", "L'EAU"),
            ("\"quoted\"", "\u{201c}quoted\u{201d}"),
            ("«quoted»", "\"quoted\""),
            ("well-known", "well\u{2011}known"),
            ("1914-1918", "1914\u{2013}1918"),
            ("-5", "\u{2212}5"),
            ("12", "\u{ff11}\u{ff12}"),
            ("abc", "\u{ff41}\u{ff42}\u{ff43}"),
            ("soft", "so\u{ad}ft"),
            ("zero", "\u{feff}ze\u{200b}ro\u{200b}"),
            ("right", "\u{202e}right\u{202c}"),
            ("a b", " a\u{a0}\u{2009}b\n"),
            ("ﬁnd", "find"),
            ("\u{1c4}", "ǆ"),
            ("한국", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8}"),
            ("Ⅷ", "viii"),
            ("\u{212a}elvin", "kelvin"),
        ] {
            assert_eq!(folded(one), folded(other), "{one:?} {other:?}");
        }
        for (one, other) in
            [("resume", "résumé"), ("ubermut", "übermut"), ("a b", "ab"), ("1.5", "15"), ("yes", "yes!")]
        {
            assert_ne!(folded(one), folded(other), "{one:?} {other:?}");
        }
        assert_eq!(folded("\u{200b}\u{202e} \u{feff}"), "");
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(text in "[a-zßẞéΣσςİıǄǅﬁ'’´`«»\"–—−\\-\u{300}-\u{345}\u{ad}\u{200b}\u{2009} 가-힣\u{1100}-\u{1175}Ⅷ１ａ]{0,20}") {
            prop_assert_eq!(folded(&folded(&text)), folded(&text));
        }

        #[test]
        fn any_text_folds_once(text: String) {
            prop_assert_eq!(folded(&folded(&text)), folded(&text));
        }

        #[test]
        fn composed_or_not_and_in_any_case_is_one_answer(text in "[a-zà-įĳ-žα-ωа-яßﬀ ]{0,20}") {
            let apart: String = text.nfd().collect();
            prop_assert_eq!(folded(&apart), folded(&text));
            prop_assert_eq!(folded(&text.to_uppercase()), folded(&text));
        }
    }
}
