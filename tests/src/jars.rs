//! Apache Kafka's jars from Maven Central, fetched once into the cache.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{Doing, LabError, Result};
use crate::tool::run;

/// The version that a lab runs unless told otherwise.
pub const DEFAULT_VERSION: &str = "4.1.1";
/// The oldest peer that the tests cover.
pub const OLDER_VERSION: &str = "3.9.2";

const ARTIFACTS: [&str; 4] = [
    "kafka_2.13",
    "kafka-tools",
    "connect-runtime",
    "connect-mirror",
];
const FETCH_LIMIT: Duration = Duration::from_secs(600);

/// `$UNDERSTUDY_CACHE`, where downloads and builds live; by default in the user's cache folder.
pub fn cache_dir() -> Result<PathBuf> {
    let folder = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = folder("UNDERSTUDY_CACHE")
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("understudy")))
        .or_else(|| Some(folder("HOME")?.join(".cache/understudy")))
        .ok_or_else(|| {
            LabError::Usage("set UNDERSTUDY_CACHE to a folder for downloads".to_owned())
        })?;
    fs::create_dir_all(&cache).doing(format!("create {}", cache.display()))?;
    Ok(cache)
}

/// One version of Kafka on this machine.
#[derive(Debug, Clone)]
pub struct Kafka {
    version: String,
    dir: PathBuf,
}

impl Kafka {
    /// Finds a version in the cache, or fetches it with Maven.
    ///
    /// Safe to call from several processes at once: one fetches, the others wait for it.
    pub fn fetch(version: &str) -> Result<Self> {
        let cache = cache_dir()?;
        let dir = cache.join(format!("kafka-{version}"));
        let kafka = Self {
            version: version.to_owned(),
            dir,
        };
        if kafka.dir.is_dir() {
            return Ok(kafka);
        }
        let _lock = lock(&cache.join(format!("kafka-{version}.lock")))?;
        if !kafka.dir.is_dir() {
            kafka.download(&cache)?;
        }
        Ok(kafka)
    }

    /// The version, such as `4.1.1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The folder that holds `libs/` and what was derived from it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Kafka 3 differs in its logging binding and in where some tools live.
    pub fn is_before_4(&self) -> bool {
        self.version.starts_with("3.")
    }

    /// Every jar, in a fixed order: class data sharing depends on it.
    pub fn class_path(&self) -> Result<String> {
        let libs = self.dir.join("libs");
        let mut jars = Vec::new();
        for entry in fs::read_dir(&libs).doing(format!("list {}", libs.display()))? {
            jars.push(entry.doing("list the jars")?.path().display().to_string());
        }
        jars.sort();
        Ok(jars.join(":"))
    }

    fn download(&self, cache: &Path) -> Result<()> {
        let unfinished = cache.join(format!("kafka-{}.unfinished", self.version));
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).doing(format!("remove {}", unfinished.display()))?;
        }
        fs::create_dir_all(&unfinished).doing(format!("create {}", unfinished.display()))?;
        fs::write(unfinished.join("pom.xml"), self.pom()).doing("write pom.xml")?;
        fs::write(unfinished.join("log4j2.properties"), LOG4J2).doing("write log4j2.properties")?;
        fs::write(unfinished.join("log4j.properties"), LOG4J1).doing("write log4j.properties")?;
        let mut maven = Command::new("mvn");
        maven
            .args([
                "-q",
                "-B",
                "dependency:copy-dependencies",
                "-DoutputDirectory=libs",
                "-DincludeScope=runtime",
            ])
            .current_dir(&unfinished);
        run("mvn", "apt-get install maven", &mut maven, FETCH_LIMIT)?;
        fs::rename(&unfinished, &self.dir).doing(format!("put {} in place", self.dir.display()))
    }

    fn pom(&self) -> String {
        let dependency = |group: &str, artifact: &str, version: &str| {
            format!(
                "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>\n"
            )
        };
        let mut dependencies: String = ARTIFACTS
            .iter()
            .map(|artifact| dependency("org.apache.kafka", artifact, &self.version))
            .collect();
        // Without a binding nothing is logged.
        dependencies += &if self.is_before_4() {
            dependency("org.slf4j", "slf4j-reload4j", "1.7.36")
        } else {
            dependency("org.apache.logging.log4j", "log4j-slf4j-impl", "2.24.3")
        };
        format!(
            "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>
<groupId>understudy.lab</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>\n{dependencies}</dependencies></project>\n"
        )
    }
}

/// Waits for an exclusive lock on a file; dropping the file releases it.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).doing(format!("create {}", path.display()))?;
    file.lock().doing(format!("lock {}", path.display()))?;
    Ok(file)
}

const LOG4J2: &str = "rootLogger.level = ${sys:lab.log.level:-INFO}
rootLogger.appenderRef.out.ref = OUT
appender.out.type = Console
appender.out.name = OUT
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{HH:mm:ss.SSS} %p %m (%c{1})%n
";

const LOG4J1: &str = "log4j.rootLogger=${lab.log.level}, OUT
log4j.appender.OUT=org.apache.log4j.ConsoleAppender
log4j.appender.OUT.layout=org.apache.log4j.PatternLayout
log4j.appender.OUT.layout.ConversionPattern=%d{HH:mm:ss,SSS} %p %m (%c{1})%n
";
