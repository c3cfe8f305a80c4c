//! The configuration file: which one is taken, and what the relative paths in it mean.
//!
//! It says where keys are and who is asked with them, so one that somebody else could have put into a folder above is not
//! read unasked.

use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nix::unistd::geteuid;

use super::{Layer, Listed, Settings, listed};

/// The configuration file where none is named.
pub const DEFAULT_FILE: &str = "issei.toml";

impl Settings {
    /// Reads the file under the flags and the environment, and checks the whole. Where none is named it is the nearest
    /// `issei.toml`, from the working directory upwards.
    pub fn load(file: Option<&Path>, over: Layer) -> anyhow::Result<Self> {
        Ok(Self::listed(file, over)?.0)
    }

    /// The same, and where each of them comes from.
    ///
    /// # Errors
    /// As `load`: what nothing else can work with is not listed either.
    pub fn listed(file: Option<&Path>, over: Layer) -> anyhow::Result<(Self, Vec<Listed>)> {
        let file = match file {
            Some(file) => Some(file.to_owned()),
            None => Self::nearest_file()?,
        };
        let under = file.as_deref().map_or_else(|| Ok(Layer::default()), read)?;
        let listed = listed(&over, &under);
        Ok((Self { file, ..Self::of(over, under) }.checked()?, listed))
    }

    /// The file that is taken where none is named.
    ///
    /// # Errors
    /// Somebody else has put it there.
    fn nearest_file() -> anyhow::Result<Option<PathBuf>> {
        // Who has no working directory any more has no file in it.
        let Ok(here) = std::env::current_dir() else { return Ok(None) };
        let home = std::env::home_dir().and_then(|home| home.canonicalize().ok());
        nearest(&here, home.as_deref(), geteuid().as_raw())
    }
}

/// As cargo and git look for theirs: in each folder upwards, and not beyond the home directory.
fn nearest(here: &Path, home: Option<&Path>, me: u32) -> anyhow::Result<Option<PathBuf>> {
    for folder in here.ancestors() {
        let file = folder.join(DEFAULT_FILE);
        if let (Some(metadata), Ok(link)) = (file.metadata().ok().filter(std::fs::Metadata::is_file), file.symlink_metadata()) {
            // Whoever has made a link decides what it names.
            let is_anothers = |uid| uid != me && uid != 0;
            if folder != here && (is_anothers(metadata.uid()) || is_anothers(link.uid())) {
                bail!(
                    "{} stands in a folder above this one and belongs to another user, so it is not read unasked; name it with --config, or take it away",
                    file.display()
                );
            }
            return Ok(Some(file));
        }
        if Some(folder) == home {
            break;
        }
    }
    Ok(None)
}

fn read(file: &Path) -> anyhow::Result<Layer> {
    let text = std::fs::read_to_string(file).with_context(|| {
        let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        format!("the configuration file {} can't be read", path.display())
    })?;
    let mut layer: Layer = toml::from_str(&text).map_err(|error| {
        anyhow::anyhow!("the configuration file {}: {}; docs/configuration.md lists all keys", file.display(), wrong(&text, &error))
    })?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder
        && std::env::current_dir().ok().as_deref() != Some(folder)
    {
        layer.within(folder);
    }
    Ok(layer)
}

/// What is wrong, and in which line, without the value that stands there: it may be a secret that somebody has written into
/// the file by mistake, and errors end up in logs.
fn wrong(text: &str, error: &toml::de::Error) -> String {
    let Some(span) = error.span() else { return error.message().to_owned() };
    let before = text.get(..span.start).unwrap_or_default();
    let number = before.matches('\n').count() + 1;
    let Some((name, _)) = before.rsplit('\n').next().and_then(|line| line.split_once('=')) else {
        return format!("line {number}: {}{}", error.message(), belongs(text, before, span));
    };
    // Of a table or a list each text that is in it.
    let values = text.get(span).unwrap_or_default().split(['"', '\'']).map(str::trim).filter(|value| value.len() > 2);
    let message = values.fold(error.message().to_owned(), |message, value| message.replace(value, "…"));
    format!("line {number}, `{}`: {message}", name.trim())
}

/// Where an unknown field belongs, if it is a key of the whole file that stands below a section: TOML takes it for one of that
/// section's.
fn belongs(text: &str, before: &str, span: Range<usize>) -> String {
    let is_unknown = |error: &toml::de::Error| error.message().starts_with("unknown field");
    let name = text.get(span).unwrap_or_default().trim();
    let is_below = before.lines().any(|line| line.trim_start().starts_with('['));
    // Whatever else is wrong with such a value, it is known.
    let is_known = toml::from_str::<Layer>(&format!("{name} = 0")).err().is_none_or(|error| !is_unknown(&error));
    if is_below && !name.is_empty() && is_known && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        format!("; `{name}` is a key of the whole file, so it stands above every `[section]`")
    } else {
        String::new()
    }
}

impl Layer {
    /// What it names by a relative path stands in the file's folder.
    fn within(&mut self, folder: &Path) {
        let within = |path: &mut String| *path = folder.join(&*path).display().to_string();
        self.spool_dir.iter_mut().filter(|path| !path.is_empty()).for_each(within);
        for audience in self.audiences.values_mut() {
            audience.file.iter_mut().for_each(within);
            if let Some(url) = &mut audience.url
                && let Some(path) = url.strip_prefix("sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest))
                && !path.starts_with([':', '/', '?'])
            {
                // The path of a URL: what would end it is written otherwise.
                let folder = folder.display().to_string().replace('%', "%25").replace('?', "%3F");
                *url = format!("sqlite://{folder}/{path}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_file_upwards_is_taken_and_none_beyond_the_home_directory() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let (home, deep) = (root.join("home"), root.join("home/app/broadcasts"));
        std::fs::create_dir_all(&deep).unwrap();
        let me = geteuid().as_raw();
        let put = |folder: &Path| std::fs::write(folder.join(DEFAULT_FILE), "").unwrap();
        put(&root);
        assert_eq!(nearest(&deep, Some(&home), me).unwrap(), None);
        assert_eq!(nearest(&deep, None, me).unwrap(), Some(root.join(DEFAULT_FILE)));
        put(&home);
        assert_eq!(nearest(&deep, Some(&home), me).unwrap(), Some(home.join(DEFAULT_FILE)));
        // What is called so and is no file is passed over.
        std::fs::create_dir(home.join("app").join(DEFAULT_FILE)).unwrap();
        assert_eq!(nearest(&deep, Some(&home), me).unwrap(), Some(home.join(DEFAULT_FILE)));
        put(&deep);
        assert_eq!(nearest(&deep, Some(&home), me).unwrap(), Some(deep.join(DEFAULT_FILE)));
    }

    #[test]
    fn a_file_that_somebody_else_put_above_is_not_read_unasked() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("app");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(root.path().join(DEFAULT_FILE), "").unwrap();
        let owner = root.path().join(DEFAULT_FILE).metadata().unwrap().uid();
        let refusal = nearest(&deep, None, owner + 1);
        // What the superuser put there everybody believes.
        assert_eq!(refusal.is_err(), owner != 0);
        assert!(refusal.err().is_none_or(|error| error.to_string().contains("belongs to another user")));
        assert!(nearest(root.path(), None, owner + 1).unwrap().is_some());
    }

    #[test]
    fn relative_paths_are_relative_to_the_file_and_others_stay_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("named.toml");
        let text = "spool_dir = 'spool'\n\
                    [audiences.a]\nfile = 'users.csv'\nkey = 'id'\naddress = 'email'\n\
                    [audiences.b]\nurl = 'sqlite:users.db?mode=ro'\ntable = 'users'\nkey = 'id'\naddress = 'email'\n\
                    [audiences.c]\nurl = 'sqlite:///var/users.db'\ntable = 'users'\nkey = 'id'\naddress = 'email'\n\
                    [audiences.d]\nfile = '/var/users.csv'\nkey = 'id'\naddress = 'email'\n\
                    [audiences.e]\nurl = 'postgres://db/users'\ntable = 'users'\nkey = 'id'\naddress = 'email'\n";
        std::fs::write(&file, text).unwrap();
        let settings = Settings::load(Some(&file), Layer::default()).unwrap();
        let here = folder.path().display().to_string();
        let of = |name: &str| settings.audiences[name].clone();
        assert_eq!(settings.spool_dir, format!("{here}/spool"));
        assert_eq!(of("a").file.unwrap(), format!("{here}/users.csv"));
        assert_eq!(of("b").url.unwrap(), format!("sqlite://{here}/users.db?mode=ro"));
        assert_eq!(of("c").url.unwrap(), "sqlite:///var/users.db");
        assert_eq!((of("d").file.unwrap(), of("e").url.unwrap()), ("/var/users.csv".to_owned(), "postgres://db/users".to_owned()));
        assert_eq!(settings.file, Some(file));
    }

    #[test]
    fn a_key_of_the_whole_file_below_a_section_is_told_where_it_belongs() {
        let audience = "[audiences.users]\nfile = 'users.csv'\nkey = 'id'\naddress = 'email'\n";
        let told = |below: &str| {
            let text = format!("{audience}{below}\n");
            wrong(&text, &toml::from_str::<Layer>(&text).err().unwrap())
        };
        let error = told("approvals = 2 # two");
        assert!(error.starts_with("line 5: unknown field `approvals`"), "{error}");
        assert!(error.ends_with("`approvals` is a key of the whole file, so it stands above every `[section]`"), "{error}");
        let error = told("aprovals = 2");
        assert!(error.starts_with("line 5: unknown field `aprovals`") && !error.contains("whole file"), "{error}");
    }

    #[test]
    fn a_secret_that_is_written_into_the_file_is_in_no_error() {
        for (text, told) in [
            ("[providers.resend]\nkey = \"re_SECRET\"\n", "line 2, `key`: "),
            ("[providers.resend]\nkey = re_SECRET\n", "line 2, `key`: "),
            ("[audiences.users]\nurl = postgres://u:re_SECRET@h/db\n", "line 2, `url`: "),
            ("[providers.resend]\nkey = { secret = \"re_SECRET\" }\n", "line 2, `key`: "),
            ("[providers.resend]\nkey = { env = \"re_SECRET.2\" }\n", "line 2, `key`: "),
            ("[providers.resend]\nkey = { env = \"re_SECRET\" }\n", "line 2, `key`: it is the name of an environment variable"),
            (
                "[providers.resend]\nwebhook_keys = [{ env = \"whsec_SECRET\" }]\n",
                "line 2, `webhook_keys`: it is the name of an environment variable",
            ),
            ("[unsubscribe_keys]\n\"2026\" = { env = \"aSECRETb\" }\n", "line 2, `\"2026\"`: it is the name of an environment variable"),
            ("[providers.resend]\nwebhook_keys = [\"re_SECRET\"]\n", "line 2, `webhook_keys`: "),
            ("[unsubscribe_keys]\n\"2026\" = \"re_SECRET\"\n", "line 2, `\"2026\"`: "),
            ("chunk_size = 're_SECRET'\n", "line 1, `chunk_size`: "),
            ("table = \"t\"\nchunk_sice = 10\n", "line 2: unknown field `chunk_sice`"),
        ] {
            let error = toml::from_str::<Layer>(text).err().map(|error| wrong(text, &error)).unwrap();
            assert!(error.starts_with(told) && !error.contains("SECRET"), "{error}");
        }
    }
}
