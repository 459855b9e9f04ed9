//! A topic that is made again with more partitions than it had: what was never copied waits for what is decided about the
//! others, and goes where they go; so do its configs.

use std::error::Error;
use std::time::Duration;

use understudy_tests::{Cluster, FlowFile, Judge, Pair, Worker, wait_for};

use crate::topics::write;

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);
/// How long its records are kept, in milliseconds; and those of a topic that does not say: the lab's brokers keep them.
const A_MONTH: &str = "2592000000";
const FOR_EVER: &str = "-1";

#[test]
fn what_a_topic_made_again_has_more_of_waits_for_the_others_answer() -> Outcome {
    let again = Again::begin("more", |file| file)?;
    let Again { source, target, .. } = again;
    again.make_again()?;
    again
        .worker
        .wait_reason(&["more-0 halted", "made again"], LIMIT)?;
    again
        .worker
        .wait_reason(&["more-1 halted", "made again"], LIMIT)?;
    again
        .worker
        .wait_status("new partitions to wait", LIMIT, |status| {
            let warnings = status["warnings"].to_string();
            warnings.contains("new partitions of more wait") && warnings.contains("made again")
        })?;
    again.wait_for_a_pass("3600000")?;
    // What nobody has decided about is as it was: its partitions, its records, and for how long they are kept.
    assert_eq!(target.partitions("more")?, Some(2));
    let kept = target.topic_config("more", "retention.ms")?;
    assert_eq!(kept.as_deref(), Some(A_MONTH));
    assert_eq!(target.read_all("more")?.len(), 200);

    let go_on = ["gaps", "resolve", "--as", "continue-in-same", "--json"];
    assert_eq!(again.worker.tool(&go_on)?.0, 0);
    again.worker.wait_copied(source, "more", LIMIT)?;
    assert_eq!(target.partitions("more")?, Some(4));
    assert_eq!(target.read_all("more")?.len(), 200 + 400);
    let (code, verified) = again.worker.tool(&["verify", "--deep", "--json"])?;
    assert_eq!(code, 0, "{verified}");
    // From now on its configs are those of the new one.
    again.wait_config("more", FOR_EVER)
}

#[test]
fn by_policy_what_a_topic_made_again_has_more_of_goes_where_the_others_go() -> Outcome {
    let again = Again::begin("astray", |file| file.mirror("recreated", "new-topic"))?;
    let Again { source, target, .. } = again;
    again.make_again()?;
    again.worker.wait_copied(source, "astray", LIMIT)?;
    let exact = || {
        Judge::with_clients((source.client(), "astray"), (target.client(), "astray.1"))
            .wait_exact(LIMIT)
    };
    let comparison = exact()?;
    assert!(
        comparison.is_exact() && comparison.copied == 400,
        "{comparison}"
    );
    // Also what it grows by later, over a restart.
    again.worker.kill()?;
    source.grow_topic("astray", 6)?;
    again.write("third", 300)?;
    again.worker.restart()?;
    again.worker.wait_copied(source, "astray", LIMIT)?;
    let comparison = exact()?;
    assert!(
        comparison.is_exact() && comparison.copied == 700,
        "{comparison}"
    );
    assert_eq!(target.partitions("astray.1")?, Some(6));
    // And its configs, while the former copy is left as it was.
    source.set_topic_configs("astray", &[("retention.ms", "7200000")])?;
    again.wait_config("astray.1", "7200000")?;
    assert_eq!(target.partitions("astray")?, Some(2));
    let kept = target.topic_config("astray", "retention.ms")?;
    assert_eq!(kept.as_deref(), Some(A_MONTH));
    assert_eq!(target.read_all("astray")?.len(), 200);
    let (code, verified) = again.worker.tool(&["verify", "--deep", "--json"])?;
    assert_eq!(code, 0, "{verified}");
    Ok(())
}

/// A topic whose records are kept for a month, mirrored, and one beside it.
struct Again {
    source: &'static Cluster,
    target: &'static Cluster,
    topic: String,
    beside: String,
    worker: Worker,
}

impl Again {
    fn begin(topic: &str, how: impl FnOnce(FlowFile) -> FlowFile) -> Result<Self, Box<dyn Error>> {
        let Pair { source, target } = Pair::shared()?;
        let beside = format!("{topic}-beside");
        source.create_topic(topic, 2, &[("retention.ms", A_MONTH)])?;
        source.create_topic(&beside, 1, &[])?;
        let file = FlowFile::new(source, target)
            .named(topic)
            .topics([topic, beside.as_str()])
            .slots(2)
            .mirror("topic_discovery_interval", "500ms")
            .mirror("config_sync_interval", "500ms");
        let worker = Worker::start(&how(file), &format!("{topic}-worker"))?;
        let again = Self {
            source,
            target,
            topic: topic.to_owned(),
            beside,
            worker,
        };
        again.write("first", 200)?;
        again.worker.wait_copied(source, topic, LIMIT)?;
        // From then on it is remembered what the copy was made with.
        again.wait_for_a_pass("1800000")?;
        Ok(again)
    }

    fn write(&self, producer: &str, records: u64) -> Outcome {
        write(self.source, &self.topic, producer, records)
    }

    /// With twice as many partitions, and without a config of its own.
    fn make_again(&self) -> Outcome {
        self.source.delete_topic(&self.topic)?;
        self.source.create_topic(&self.topic, 4, &[])?;
        self.write("second", 400)
    }

    /// Waits until configs were compared once more, by one that changed.
    fn wait_for_a_pass(&self, retention: &str) -> Outcome {
        let configs = [("retention.ms", retention)];
        self.source.set_topic_configs(&self.beside, &configs)?;
        self.wait_config(&self.beside, retention)
    }

    fn wait_config(&self, topic: &str, retention: &str) -> Outcome {
        let what = format!("{topic} to be kept for {retention} ms");
        wait_for(&what, LIMIT, || {
            match self.target.topic_config(topic, "retention.ms") {
                Ok(Some(found)) if found == retention => Ok(()),
                found => Err(format!("{found:?}")),
            }
        })?;
        Ok(())
    }
}
