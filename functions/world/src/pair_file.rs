//! A pair and its flow files, read and checked against each other. Connects to nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use understudy_flow::bounded;
use understudy_flow::chain::chain;
use understudy_flow::config::Flow;
use understudy_flow::secrets::FirstRead;
use understudy_kafka::Endpoint;
use understudy_recovery::Alias;
use understudy_recovery::pair::{FlowOfPair, Pair, PairError};

/// How alike a name must be to be meant.
const LIKENESS: f64 = 0.8;

/// A pair, and what its flow files say.
#[derive(Clone, Debug)]
pub struct PairFile {
    /// The pair.
    pub pair: Arc<Pair>,
    /// Its flows, by the names of their files as the pair has them.
    pub flows: BTreeMap<String, Arc<Flow>>,
    /// The same flows, but with the login of a fenced writer on their target; where the pair has one.
    pub proofs: BTreeMap<Alias, Arc<Flow>>,
    /// Where the pair file lies; paths in it are beside it.
    pub folder: PathBuf,
}

/// Why a pair cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PairFileError {
    /// The file cannot be read.
    #[error("pair file {} cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not what a pair file is.
    #[error("pair file {}: {reason}", path.display())]
    Shape {
        /// Which.
        path: PathBuf,
        /// What is wrong with it, where, and what was meant.
        reason: String,
    },
    /// What it says cannot be.
    #[error("pair file {} cannot be used", path.display())]
    Pair {
        /// Which.
        path: PathBuf,
        /// What.
        #[source]
        source: PairError,
    },
    /// A flow file cannot be used.
    #[error("flow file {file} of pair {pair}: {reason}")]
    Flow {
        /// The pair.
        pair: String,
        /// As the pair names it.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl PairFile {
    /// Reads a pair file, and the flow files beside it; `environment` answers `${env:NAME}` in them.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(
        path: &Path,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, PairFileError> {
        let (pair, folder) = (pair(path)?, folder(path));
        let (mut texts, mut imported) = (BTreeMap::new(), BTreeMap::new());
        for flow in &pair.flows {
            let beside = folder.join(&flow.file);
            // What MirrorMaker 2 is configured with may stand in a flow file's place.
            if beside.extension().is_none_or(|kind| kind == "toml") {
                let text = bounded::read_text(&beside).map_err(|error| {
                    let reason = format!("{} cannot be read: {error}", beside.display());
                    wrong(&pair, flow, reason)
                })?;
                texts.insert(flow.file.clone(), text);
            } else {
                let read = Flow::read(&beside, None, environment, FirstRead::WhenLoggingIn)
                    .map_err(|error| wrong(&pair, flow, chain(&error)))?;
                imported.insert(flow.file.clone(), read);
            }
        }
        Self::put_together(pair, &texts, imported, folder, environment)
    }

    /// Reads a pair file alone, without any flow: for what needs no cluster.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn alone(path: &Path) -> Result<Self, PairFileError> {
        Ok(Self {
            pair: Arc::new(pair(path)?),
            flows: BTreeMap::new(),
            proofs: BTreeMap::new(),
            folder: folder(path),
        })
    }

    /// The same from a pair that was checked, and the texts of its flow files by their names.
    ///
    /// # Errors
    /// A flow file is missing or cannot be used, or does not lead where the pair says.
    pub fn of_texts(
        pair: Pair,
        texts: &BTreeMap<String, String>,
        folder: PathBuf,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, PairFileError> {
        Self::put_together(pair, texts, BTreeMap::new(), folder, environment)
    }

    fn put_together(
        mut pair: Pair,
        texts: &BTreeMap<String, String>,
        mut imported: BTreeMap<String, Flow>,
        folder: PathBuf,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, PairFileError> {
        let (mut flows, mut proofs) = (BTreeMap::new(), BTreeMap::new());
        // There is no flow file whose login one could take the place of.
        let Pair {
            flows: all,
            fencing,
            ..
        } = &mut pair;
        all.iter()
            .filter(|it| imported.contains_key(&it.file))
            .for_each(|it| drop(fencing.proof.remove(&it.target)));
        for of_pair in &pair.flows {
            if let Some(flow) = imported.remove(&of_pair.file) {
                must_lead(&pair, of_pair, "source", &of_pair.source, &flow.source)?;
                must_lead(&pair, of_pair, "target", &of_pair.target, &flow.target)?;
                flows.insert(of_pair.file.clone(), Arc::new(flow));
                continue;
            }
            let text = texts
                .get(&of_pair.file)
                .ok_or_else(|| wrong(&pair, of_pair, "its text is not there".to_owned()))?;
            let path = folder.join(&of_pair.file);
            let parse = |text: &str| {
                Flow::parse(text, &path, environment, FirstRead::WhenLoggingIn)
                    .map_err(|error| wrong(&pair, of_pair, chain(&error)))
            };
            let flow = parse(text)?;
            must_lead(&pair, of_pair, "source", &of_pair.source, &flow.source)?;
            must_lead(&pair, of_pair, "target", &of_pair.target, &flow.target)?;
            if let Some(login) = pair.fencing.login(&of_pair.target) {
                let as_writer = with_login(text, login)
                    .ok_or_else(|| wrong(&pair, of_pair, "it has no [target]".to_owned()))?;
                proofs.insert(of_pair.target.clone(), Arc::new(parse(&as_writer)?));
            }
            flows.insert(of_pair.file.clone(), Arc::new(flow));
        }
        Ok(Self {
            pair: Arc::new(pair),
            flows,
            proofs,
            folder,
        })
    }
}

/// Reads the pair and checks it.
fn pair(path: &Path) -> Result<Pair, PairFileError> {
    let text = bounded::read_text(path).map_err(|source| PairFileError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    // As a deployment reads it.
    let json = path.extension().is_some_and(|kind| kind == "json");
    let pair: Result<Pair, String> = if json {
        serde_json::from_str(&text).map_err(|error| error.to_string())
    } else {
        toml::from_str(&text).map_err(|error| shape(&text, &error))
    };
    let pair = pair.map_err(|reason| PairFileError::Shape {
        path: path.to_owned(),
        reason,
    })?;
    pair.check().map_err(|source| PairFileError::Pair {
        path: path.to_owned(),
        source,
    })?;
    Ok(pair)
}

fn folder(path: &Path) -> PathBuf {
    path.parent().unwrap_or_else(|| Path::new("")).to_path_buf()
}

fn wrong(pair: &Pair, flow: &FlowOfPair, reason: String) -> PairFileError {
    PairFileError::Flow {
        pair: pair.name.to_string(),
        file: flow.file.clone(),
        reason,
    }
}

fn must_lead(
    pair: &Pair,
    flow: &FlowOfPair,
    end: &str,
    expected: &Alias,
    found: &Endpoint,
) -> Result<(), PairFileError> {
    if expected.as_str() == found.alias {
        return Ok(());
    }
    let reason = format!(
        "its {end} is {}, and the pair says that it is {expected}; make the aliases agree",
        found.alias
    );
    Err(wrong(pair, flow, reason))
}

/// A flow file's text whose target is reached as somebody else.
fn with_login(text: &str, login: &BTreeMap<String, String>) -> Option<String> {
    let mut table: toml::Table = text.parse().ok()?;
    let target = table.get_mut("target")?.as_table_mut()?;
    for (property, value) in login {
        target.insert(property.clone(), toml::Value::String(value.clone()));
    }
    toml::to_string(&table).ok()
}

/// What is wrong, on which line, and what was meant where a name is unknown.
fn shape(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or_else(String::new, |span| {
        let before = text.get(..span.start).unwrap_or_default();
        format!("line {}: ", before.matches('\n').count() + 1)
    });
    let message = error.message().trim();
    // Serde names what it does not know, and what it would have known, in this form only.
    let mut named = message.split('`').skip(1).step_by(2);
    let unknown = named.next().filter(|_| message.starts_with("unknown"));
    let meant = unknown.and_then(|unknown| {
        named
            .map(|known| (strsim::jaro_winkler(unknown, known), known))
            .filter(|(likeness, _)| *likeness > LIKENESS)
            .max_by(|a, b| a.0.total_cmp(&b.0))
    });
    match meant {
        Some((_, meant)) => format!("{line}{message}; did you mean `{meant}`?"),
        None => format!("{line}{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    const PAIR: &str = r#"
name = "orders"
home = "use1"
[clusters.use1]
region = "us-east-1"
[clusters.usw2]
region = "us-west-2"
[[flows]]
source = "use1"
target = "usw2"
file = "there.toml"
[[flows]]
source = "usw2"
target = "use1"
file = "back.toml"
"#;

    fn flow(source: &str, target: &str) -> String {
        format!(
            "[source]\nalias = \"{source}\"\n\"bootstrap.servers\" = \"{source}:1\"\n\
             [target]\nalias = \"{target}\"\n\"bootstrap.servers\" = \"{target}:1\"\n"
        )
    }

    fn read(pair: &str, back: &str) -> Result<PairFile, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("pair.toml");
        std::fs::write(&path, pair)?;
        std::fs::write(folder.path().join("there.toml"), flow("use1", "usw2"))?;
        std::fs::write(folder.path().join("back.toml"), back)?;
        let environment = |name: &str| (name == "PASSWORD").then(|| "hush".to_owned());
        Ok(PairFile::read(&path, &environment).map_err(|error| chain(&error))?)
    }

    fn refused(pair: &str, back: &str) -> String {
        read(pair, back).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn a_pair_is_read_with_the_flows_beside_it() -> Outcome {
        let file = read(PAIR, &flow("usw2", "use1"))?;
        assert_eq!(file.pair.name.as_str(), "orders");
        let names: Vec<String> = file
            .flows
            .values()
            .map(|flow| flow.name.to_string())
            .collect();
        assert_eq!(names, ["usw2-use1", "use1-usw2"]);
        assert!(file.proofs.is_empty());
        Ok(())
    }

    #[test]
    fn the_file_that_is_deployed_is_read_too() -> Outcome {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("orders.pair.json");
        let pair: Pair = toml::from_str(PAIR)?;
        std::fs::write(&path, serde_json::to_string(&pair)?)?;
        assert_eq!(*PairFile::alone(&path)?.pair, pair);
        std::fs::write(&path, "{\"hmoe\": \"use1\"}")?;
        let refused = PairFile::alone(&path).map_err(|error| error.to_string());
        assert!(refused.is_err_and(|text| text.contains("hmoe")));
        Ok(())
    }

    #[test]
    fn a_wrong_key_is_named_with_its_line_and_the_right_one() {
        let back = flow("usw2", "use1");
        for (right, wrong, meant) in [
            ("home =", "hmoe =", "line 3: unknown field `hmoe`"),
            ("home =", "hmoe =", "did you mean `home`?"),
            (
                "region = \"us-west-2\"",
                "regoin = \"us-west-2\"",
                "did you mean `region`?",
            ),
        ] {
            let text = refused(&PAIR.replace(right, wrong), &back);
            assert!(text.contains(meant), "{text}");
        }
        let with_applications =
            format!("{PAIR}\n[[applications]]\nname = \"a\"\nrole = \"consumr\"\nadapters = []\n");
        let text = refused(&with_applications, &back);
        assert!(text.contains("did you mean `consumer`?"), "{text}");
    }

    #[test]
    fn a_flow_that_leads_elsewhere_or_is_wrong_or_missing_is_named() {
        let text = refused(PAIR, &flow("use1", "usw2"));
        assert!(
            text.contains("back.toml") && text.contains("its source is use1"),
            "{text}"
        );
        let text = refused(PAIR, "[sauce]");
        assert!(
            text.contains("back.toml") && text.contains("sauce"),
            "{text}"
        );
        let text = refused(&PAIR.replace("back.toml", "bakc.toml"), "");
        assert!(text.contains("bakc.toml"), "{text}");
        let text = refused(&PAIR.replace("home = \"use1\"", "home = \"euw1\""), "");
        assert!(text.contains("home is euw1"), "{text}");
    }

    #[test]
    fn a_writers_login_reaches_each_cluster_as_that_writer() -> Outcome {
        let login = "[fencing]\nwriters = [\"User:orders\"]\n[fencing.proof.use1]\n\"security.protocol\" = \"SASL_PLAINTEXT\"\n\
                     \"sasl.mechanism\" = \"PLAIN\"\n\"sasl.username\" = \"orders\"\n\"sasl.password\" = \"${env:PASSWORD}\"\n";
        let file = read(&format!("{PAIR}{login}"), &flow("usw2", "use1"))?;
        assert_eq!(file.proofs.len(), 1);
        for proof in file.proofs.values() {
            assert_eq!(proof.target.principal(), "User:orders");
            assert_eq!(proof.source.principal(), "User:ANONYMOUS");
        }
        let text = format!("{file:?}");
        assert!(!text.contains("hush"), "{text}");
        Ok(())
    }
}
