//! Merges the sources of settings.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use config::{Config, FileFormat};

use super::{SettingsError, dotenv, known};

/// Command-line flags with settings, for `#[command(flatten)]`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SettingsArgs {
    /// Read settings from this TOML file, one `name = "value"` a line
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// Set one setting, for example `LOG_FORMAT=json`; overrides all other sources; not for secrets
    #[arg(long, value_name = "NAME=VALUE", global = true)]
    pub set: Vec<String>,
}

/// Value of each setting, given or default, and where it is from. Its `Debug` shows no secret.
#[derive(Clone, Default)]
pub struct Values {
    values: BTreeMap<&'static str, String>,
    /// Of those that were given.
    origins: BTreeMap<&'static str, String>,
}

impl Values {
    /// Reads all sources of a process: file and flags from `args`, `.env` in the working folder, the environment.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn load(args: &SettingsArgs) -> Result<Self, SettingsError> {
        let mut layers = Vec::new();
        if let Some(path) = &args.config {
            layers.push(Layer::from_toml(path)?);
        }
        if Path::new(".env").exists() {
            layers.push(Layer::from_dotenv(Path::new(".env"))?);
        }
        layers.push(Layer::from_pairs("the environment", std::env::vars_os().filter_map(utf8_pair))?);
        layers.push(Layer::from_flags(&args.set)?);
        Self::merge(layers)
    }

    /// Takes settings only from pairs of name and value, for tests.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn from_pairs<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, SettingsError> {
        let pairs = pairs.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self::merge(vec![Layer::from_pairs("given", pairs)?])
    }

    /// Returns the value of a setting; `None` if it is not given and has no default.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Returns whether it does not have its default.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.origins.contains_key(name)
    }

    /// Returns where settings are from, for operators: `REDIS_URL from .env, DATABASE_URL by default`.
    pub(super) fn origins(&self, names: &[&str]) -> String {
        let origin = |name: &&str| match self.origins.get(name) {
            Some(origin) => format!("{name} from {origin}"),
            None => format!("{name} by default"),
        };
        names.iter().map(origin).collect::<Vec<_>>().join(", ")
    }

    fn merge(layers: Vec<Layer>) -> Result<Self, SettingsError> {
        let (mut given, mut origins) = (BTreeMap::new(), BTreeMap::new());
        for layer in layers {
            for (name, value) in layer.values {
                let origin = match &value {
                    Given::Value(_) => layer.origin.clone(),
                    Given::InFile(path) => path.display().to_string(),
                };
                origins.insert(name, origin);
                given.insert(name, value);
            }
        }
        for setting in known::SETTINGS {
            if let Some(default) = setting.default {
                given.entry(setting.name).or_insert_with(|| Given::Value(default.to_owned()));
            }
        }
        let values = given.into_iter().map(|(name, given)| Ok((name, given.read(name)?))).collect::<Result<_, _>>()?;
        Ok(Self { values, origins })
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |name: &&'static str| !known::find(name).is_none_or(|setting| setting.secret);
        f.debug_map().entries(self.values.iter().filter(|(name, _)| shown(name))).finish_non_exhaustive()
    }
}

enum Given {
    Value(String),
    InFile(PathBuf),
}

impl Given {
    fn read(self, name: &str) -> Result<String, SettingsError> {
        match self {
            Self::Value(value) => Ok(value),
            Self::InFile(path) => std::fs::read_to_string(&path)
                .map(|content| content.trim_end_matches(['\r', '\n']).to_owned())
                .map_err(|source| SettingsError::File { what: format!("{name}_FILE"), path, source }),
        }
    }
}

/// Settings of one source.
struct Layer {
    origin: String,
    values: BTreeMap<&'static str, Given>,
}

impl Layer {
    fn new(origin: impl Into<String>) -> Self {
        Self { origin: origin.into(), values: BTreeMap::new() }
    }

    /// Reads a TOML file. It holds only settings, so an unknown key is an error.
    fn from_toml(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path).map_err(|source| SettingsError::File {
            what: "--config".to_owned(),
            path: path.to_owned(),
            source,
        })?;
        let syntax = |reason: String| SettingsError::Syntax { path: path.to_owned(), reason };
        let entries: BTreeMap<String, config::Value> = Config::builder()
            .add_source(config::File::from_str(&text, FileFormat::Toml))
            .build()
            .and_then(Config::try_deserialize)
            .map_err(|error| syntax(error.to_string()))?;
        let mut layer = Self::new(path.display().to_string());
        for (key, value) in entries {
            let text = value.into_string().map_err(|_| syntax(format!("{key} must be one plain value")))?;
            layer.add_known(&key.to_uppercase(), text, &key)?;
        }
        Ok(layer)
    }

    /// Reads `.env`. Other programs such as Compose share it, so unknown names are ignored.
    fn from_dotenv(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path).map_err(|source| SettingsError::File {
            what: "settings".to_owned(),
            path: path.to_owned(),
            source,
        })?;
        // The line itself is not shown: it may hold a secret.
        let pairs = dotenv::parse(&text).map_err(|dotenv::NoEntry { line }| SettingsError::Syntax {
            path: path.to_owned(),
            reason: format!("line {line} is not NAME=value"),
        })?;
        Self::from_pairs(".env", pairs)
    }

    fn from_pairs(origin: &str, pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, SettingsError> {
        let mut layer = Self::new(origin);
        for (name, value) in pairs {
            layer.add(&name, value)?;
        }
        Ok(layer)
    }

    fn from_flags(flags: &[String]) -> Result<Self, SettingsError> {
        let mut layer = Self::new("--set");
        for flag in flags {
            let (name, value) = flag.split_once('=').ok_or_else(|| SettingsError::BadFlag(flag.clone()))?;
            if let Some(setting) = known::find(name).filter(|setting| setting.secret) {
                return Err(SettingsError::SecretOnCommandLine { name: setting.name });
            }
            layer.add_known(name, value.to_owned(), name)?;
        }
        Ok(layer)
    }

    fn add_known(&mut self, name: &str, value: String, as_given: &str) -> Result<(), SettingsError> {
        if self.add(name, value)? {
            return Ok(());
        }
        Err(SettingsError::Unknown {
            name: as_given.to_owned(),
            origin: self.origin.clone(),
            nearest: known::nearest(name).map(ToOwned::to_owned),
        })
    }

    /// Adds a value if `name` is a setting, or `X_FILE` of a secret `X`. Returns whether it is. An empty value counts as
    /// not given.
    fn add(&mut self, name: &str, value: String) -> Result<bool, SettingsError> {
        let is_empty = value.is_empty();
        let (setting, given) = if let Some(setting) = known::find(name) {
            (setting, Given::Value(value))
        } else if let Some(setting) = name.strip_suffix("_FILE").and_then(known::find).filter(|known| known.secret) {
            (setting, Given::InFile(PathBuf::from(value)))
        } else {
            return Ok(false);
        };
        if is_empty {
            return Ok(true);
        }
        let is_value = matches!(given, Given::Value(_));
        match self.values.insert(setting.name, given) {
            Some(before) if matches!(before, Given::Value(_)) != is_value => {
                Err(SettingsError::GivenTwice { name: setting.name, origin: self.origin.clone() })
            }
            _ => Ok(true),
        }
    }
}

fn utf8_pair((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}
