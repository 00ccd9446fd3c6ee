//! Templates of mails and of the pages that they link to.
//!
//! ```text
//!   sources    built in, replaced or added to by the files of MAIL_TEMPLATES; a language is a folder
//!   variables  what each template shows, and samples of it
//!   brand      name, colours with enough contrast, addresses
//!   format     numbers and dates as the reader writes them
//! ```
//! All files are read, compiled and rendered with samples before the first request, so an invalid folder is an error of the
//! start. If one of its templates fails later all the same, the built-in one takes its place: no mail is lost.

mod brand;
mod format;
mod sources;
mod variables;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use examhall_boot::settings::BrandSettings;
use examhall_core::{BadEmailAddress, EmailAddress, Locale};
use minijinja::{
    AutoEscape, Environment, Error, Output, State, UndefinedBehavior, Value, context, escape_formatter,
    syntax::SyntaxConfig,
};

use self::{brand::Brand, sources::Sources, variables::samples};
pub(crate) use self::{
    brand::{color_and_text, stylesheet},
    variables::{InvitationVariables, MAILS, MailVariables, PageAssets, PageVariables, ResultVariables},
};

/// Templates in all languages, with the brand that they show.
pub(crate) struct Templates {
    /// With the files of `MAIL_TEMPLATES`, if that is set.
    custom: Option<Engine>,
    built_in: Engine,
    /// Whether a failure of a custom template was logged.
    is_failure_logged: AtomicBool,
}

struct Engine {
    sources: Arc<Sources>,
    environment: Environment<'static>,
}

/// Why the templates cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadTemplates {
    /// `SUPPORT_EMAIL` is not an address.
    #[error("SUPPORT_EMAIL: {0}")]
    Support(BadEmailAddress),
    /// A file cannot be used.
    #[error("MAIL_TEMPLATES: {0}")]
    File(#[from] BadFile),
}

/// A file of `MAIL_TEMPLATES` that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}{}: {reason}", line.map(|line| format!(":{line}")).unwrap_or_default())]
pub(crate) struct BadFile {
    file: String,
    /// From 1.
    line: Option<usize>,
    reason: String,
}

impl Templates {
    /// Reads and checks all templates.
    ///
    /// # Errors
    /// Returns the first file that cannot be read, compiled, or rendered with samples.
    pub(crate) fn load(settings: &BrandSettings) -> Result<Self, BadTemplates> {
        let support = settings.support_email.as_deref().map(EmailAddress::parse).transpose();
        let brand = Value::from(Brand::new(settings, support.map_err(BadTemplates::Support)?.as_ref()));
        let custom = settings.templates.as_deref().map(|folder| Engine::checked(folder, &brand)).transpose()?;
        let built_in = Engine::new(Sources::built_in(), brand);
        Ok(Self { custom, built_in, is_failure_logged: AtomicBool::new(false) })
    }

    /// Renders `file` in the reader's language, or else in English.
    ///
    /// # Errors
    /// Returns an error if the built-in template cannot be rendered.
    pub(crate) fn render(&self, file: &str, locale: Option<&Locale>, variables: &Value) -> Result<String, Error> {
        if let Some(custom) = &self.custom {
            match custom.render(file, locale, variables) {
                Ok(text) => return Ok(text),
                Err(error) => self.log(&custom.sources.bad_file(&error)),
            }
        }
        self.built_in.render(file, locale, variables)
    }

    fn log(&self, failure: &BadFile) {
        if !self.is_failure_logged.swap(true, Ordering::Relaxed) {
            tracing::error!(%failure, "A template of MAIL_TEMPLATES failed, the built-in one is used");
        }
    }

    /// Returns the first of `wanted` that there are templates for (RFC 4647, section 3.4).
    pub(crate) fn best(&self, wanted: &[Locale]) -> Option<Locale> {
        let sources = &self.custom.as_ref().unwrap_or(&self.built_in).sources;
        wanted.iter().find(|locale| locale.lookup().any(|tag| sources.has_language(tag))).cloned()
    }

    /// Returns whether there are templates of an operator.
    pub(crate) fn has_custom(&self) -> bool {
        self.custom.is_some()
    }

    /// Returns the tags of all languages.
    pub(crate) fn languages(&self) -> Vec<&str> {
        self.custom.as_ref().unwrap_or(&self.built_in).sources.languages().into_iter().collect()
    }

    /// Returns what an operator should know of the folder: files that English replaces, and files that nothing uses.
    pub(crate) fn remarks(&self) -> Vec<String> {
        self.custom.as_ref().map(|custom| custom.sources.remarks()).unwrap_or_default()
    }
}

impl Engine {
    fn new(sources: Sources, brand: Value) -> Self {
        let sources = Arc::new(sources);
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(
            |name| {
                if sources::is_text(name) { AutoEscape::None } else { AutoEscape::Html }
            },
        );
        environment.set_formatter(write);
        let lines = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(lines.expect("the delimiters are the usual ones"));
        environment.add_global("brand", brand);
        environment.add_filter("number", format::number);
        environment.add_filter("date", format::date);
        let found = Arc::clone(&sources);
        environment.set_loader(move |name: &str| Ok(found.load(name).map(ToOwned::to_owned)));
        Self { sources, environment }
    }

    /// Those of a folder, after every file was compiled and every template rendered.
    fn checked(folder: &Path, brand: &Value) -> Result<Self, BadFile> {
        let engine = Self::new(Sources::read(folder)?, brand.clone());
        let bad = |error: &Error| engine.sources.bad_file(error);
        for (name, text) in engine.sources.custom() {
            engine.environment.template_from_named_str(name, text).map_err(|error| bad(&error))?;
        }
        for language in engine.sources.languages() {
            let locale = Locale::parse(language).ok();
            for (file, variables) in samples() {
                let text = engine.render(&file, locale.as_ref(), &variables).map_err(|error| bad(&error))?;
                if text.trim().is_empty() {
                    return Err(engine.sources.empty_file(locale.as_ref(), &file));
                }
            }
        }
        Ok(engine)
    }

    fn render(&self, file: &str, locale: Option<&Locale>, variables: &Value) -> Result<String, Error> {
        let (name, language) = self.sources.resolve(locale, file);
        // The reader's own locale, such as de-CH, only if it is one of the text's language.
        let format =
            locale.filter(|locale| locale.lookup().any(|tag| tag == language)).map_or(language, Locale::as_str);
        let variables = context! { language => language, locale => format, ..variables.clone() };
        self.environment.get_template(&name)?.render(variables)
    }
}

/// Writes a value, escaped for HTML in HTML. Slashes stay, so that a link in HTML is the link.
fn write(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) if !value.is_safe() && *state.auto_escape() == AutoEscape::Html => {
            let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            out.write_str(&escaped.replace('"', "&quot;").replace('\'', "&#x27;")).map_err(Error::from)
        }
        _ => escape_formatter(out, state, value),
    }
}

#[cfg(test)]
mod tests;
