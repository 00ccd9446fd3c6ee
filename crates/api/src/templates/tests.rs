use std::fs;

use examhall_boot::settings::{ApiSettings, Values};

use super::*;

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("in the folder")).expect("made");
        fs::write(path, text).expect("written");
    }
    folder
}

fn load(folder: Option<&Path>) -> Result<Templates, String> {
    let mut pairs = vec![("AUTH_SECRET", "s".repeat(32))];
    pairs.extend(folder.map(|folder| ("MAIL_TEMPLATES", folder.display().to_string())));
    let settings = ApiSettings::checked(&Values::from_pairs(pairs).expect("settings")).expect("good settings");
    Templates::load(&settings.brand).map_err(|error| error.to_string())
}

fn locale(tag: &str) -> Option<Locale> {
    Locale::parse(tag).ok()
}

fn named(name: &str) -> Value {
    MailVariables { name, link: "https://exams.example.com/", ..MailVariables::default() }.to_value("Subject")
}

#[test]
fn every_built_in_template_renders_in_every_language() {
    let templates = load(None).expect("good templates");
    assert_eq!(templates.languages(), ["de", "en"]);
    for language in templates.languages() {
        for (file, variables) in samples() {
            let text = templates.render(&file, locale(language).as_ref(), &variables);
            let text = text.unwrap_or_else(|error| panic!("{language}/{file}: {error}"));
            assert!(
                !text.trim().is_empty() && !text.contains("{{") && !text.contains("None"),
                "{language}/{file}: {text}"
            );
            assert!(sources::is_text(&file) || !text.contains("<b>") && !text.contains("<1>"), "{file}: {text}");
        }
    }
}

#[test]
fn files_of_the_folder_replace_those_built_in() {
    let folder = folder(&[
        ("de/reset.subject.txt", b"Neues Kennwort\n"),
        ("fr/reset.subject.txt", "Choisissez un mot de passe, {{ name }}".as_bytes()),
        ("fr/reset.txt", b"{{ link }} {% include language ~ \"/greeting.txt\" %}"),
        ("fr/greeting.txt", b"Bonjour {{ name }}"),
        ("pt-br/reset.subject.txt", b"Nova senha"),
        ("layout.html", b"<main lang={{ language }}>{% block content %}{% endblock %}</main>"),
        (".git/config.txt", b"{{ broken"),
        ("notes.md", b"{{ broken"),
    ]);
    let templates = load(Some(folder.path())).expect("good templates");
    let render = |file: &str, tag: &str| templates.render(file, locale(tag).as_ref(), &named("Ada")).expect("rendered");
    for (tag, subject) in [
        ("de-AT", "Neues Kennwort"),
        ("fr-CA", "Choisissez un mot de passe, Ada"),
        ("pt-BR", "Nova senha"),
        ("pt", "Choose a new password"),
        ("ja", "Choose a new password"),
        ("", "Choose a new password"),
    ] {
        assert_eq!(render("reset.subject.txt", tag), subject, "{tag}");
    }
    assert_eq!(render("reset.txt", "fr"), "https://exams.example.com/ Bonjour Ada");
    let english = render("reset.html", "fr");
    assert!(english.starts_with("<main lang=en>") && english.contains("somebody, most likely you"), "{english}");
    assert!(render("reset.html", "de").contains("jemand, vermutlich Sie"));
    assert_eq!(templates.languages(), ["de", "en", "fr", "pt-BR"]);
}

#[test]
fn an_invalid_folder_names_file_line_and_reason() {
    let large = vec![b'x'; 1024 * 1024 + 1];
    for (name, text, expected) in [
        ("en/reset.html", &b"Hello\n{% if name %}\n"[..], "en/reset.html:2: syntax error: "),
        ("en/reset.txt", b"Hello\n\n{{ nmae }}", "en/reset.txt:3: undefined value"),
        ("en/reset.txt", b"{% include \"gone.txt\" %}", "en/reset.txt:1: template not found: "),
        ("de/reset.txt", b"\n{{ name|shout }}", "de/reset.txt:2: unknown filter: "),
        (
            "en/reset.txt",
            b"{% if unsubscribe_link %}{% else %}{{ exam }}{% endif %}",
            "en/reset.txt:1: undefined value",
        ),
        ("en/result.txt", b"\n{% if not passed %}{{ gone }}{% endif %}", "en/result.txt:2: undefined value"),
        (
            "en/page-verify.html",
            b"x{% if step == \"done\" %}\n{{ gone }}{% endif %}",
            "en/page-verify.html:2: undefined",
        ),
        ("en/reset.subject.txt", b" \n", "en/reset.subject.txt: renders to nothing"),
        ("en/reset.txt", b"one\ntwo \xff\n", "en/reset.txt:2: is not UTF-8"),
        ("de_DE/reset.txt", b"x", "de_DE/reset.txt: \"de_DE\" is not a language tag"),
        ("layout.html", b"\n\n{{ colour }}", "layout.html:3: undefined value"),
        ("en/footer.html", b"{{ brand.colour }}", "en/footer.html:1: undefined value"),
        ("unused.html", b"{% for %}", "unused.html:1: syntax error: "),
        ("en/reset.html", &large, "en/reset.html: is larger than 1048576 bytes"),
    ] {
        let folder = folder(&[(name, text)]);
        let error = load(Some(folder.path())).err().unwrap_or_else(|| panic!("{name} is refused: {expected}"));
        let expected = format!("MAIL_TEMPLATES: {}/{expected}", folder.path().display());
        assert!(error.starts_with(&expected), "{error}\n{expected}");
    }
    let error = load(Some(Path::new("/nowhere/at/all"))).err().expect("refused");
    assert!(error.starts_with("MAIL_TEMPLATES: /nowhere/at/all: "), "{error}");
}

#[test]
fn a_template_that_fails_later_gives_way_to_the_built_in_one() {
    let text = b"{% if name == \"Zoe\" %}{{ gone }}{% endif %}ours";
    let folder = folder(&[("en/reset.txt", text)]);
    let templates = load(Some(folder.path())).expect("no sample meets it");
    let render = |name| templates.render("reset.txt", None, &named(name)).expect("rendered");
    assert_eq!(render("Ada"), "ours");
    for _ in 0..2 {
        assert!(render("Zoe").starts_with("Hello Zoe,"), "{}", render("Zoe"));
    }
}

#[test]
fn remarks_name_what_is_missing_and_what_is_unused() {
    let files: &[(&str, &[u8])] = &[
        ("nl/reset.txt", b"{{ link }}"),
        ("nl/rest.html", b"x"),
        ("de/footer.txt", b"Wir"),
        ("parts/logo.html", b"x"),
    ];
    let folder = folder(files);
    let remarks = load(Some(folder.path())).expect("good templates").remarks();
    assert_eq!(remarks.len(), 3, "{remarks:?}");
    assert!(remarks[0].starts_with("in nl these are English: ") && remarks[0].contains("reset.html"), "{remarks:?}");
    assert!(!remarks[0].contains("reset.txt"), "{remarks:?}");
    assert!(remarks[1].ends_with("nl/rest.html") && remarks[2].ends_with("parts/logo.html"), "{remarks:?}");
    let empty = self::folder(&[]);
    assert_eq!(load(Some(empty.path())).expect("good").remarks(), ["the folder of MAIL_TEMPLATES holds no template"]);
    assert!(load(None).expect("good").remarks().is_empty());
}

#[test]
fn the_first_language_with_templates_is_the_best() {
    let templates = load(None).expect("good templates");
    for (wanted, best) in [
        (&["fr", "de-CH", "en"][..], Some("de-CH")),
        (&["en-GB", "de"], Some("en-GB")),
        (&["ja", "fr"], None),
        (&[], None),
    ] {
        let wanted: Vec<_> = wanted.iter().filter_map(|tag| locale(tag)).collect();
        assert_eq!(templates.best(&wanted), best.and_then(locale), "{wanted:?}");
    }
}

#[test]
fn numbers_and_dates_are_those_of_the_locale() {
    let folder = folder(&[
        ("en/result.txt", b"{{ 1234.5|number }} {{ 0.07|number }} {{ graded_at|date }}"),
        ("de/result.txt", b"{{ 1234.5|number }} {{ 66.67|number }} {{ graded_at|date }}"),
        ("fr/result.txt", b"{{ 1234.5|number }} {{ graded_at|date }}"),
        ("ar-EG/result.txt", b"{{ 1234.5|number }}"),
    ]);
    let templates = load(Some(folder.path())).expect("good templates");
    let at = |graded_at| {
        let result = Some(ResultVariables { graded_at, ..ResultVariables::default() });
        MailVariables { result, ..MailVariables::default() }.to_value("Subject")
    };
    for (tag, text) in [
        ("en", "1,234.5 0.07 November 27, 2026"),
        ("en-GB", "1,234.5 0.07 27 November 2026"),
        ("de", "1.234,5 66,67 27. November 2026"),
        ("de-CH", "1'234.5 66.67 27. November 2026"),
        ("fr", "1\u{202f}234,5 27 novembre 2026"),
        ("ar-EG", "١٬٢٣٤٫٥"),
    ] {
        let day = at(1_795_779_600_000);
        assert_eq!(templates.render("result.txt", locale(tag).as_ref(), &day).expect("rendered"), text, "{tag}");
    }
    for extreme in [i64::MIN, -1, i64::MAX] {
        assert!(templates.render("result.txt", None, &at(extreme)).is_ok(), "{extreme}");
    }
}
