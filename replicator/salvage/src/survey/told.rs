//! What was found, for a terminal.

use std::fmt;

use understudy_domain::tail::tail_topic;
use understudy_flow::words;

use super::{Keys, OtherCluster, Survey};
use crate::groups::Groups;

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            flow,
            epoch,
            source,
            target,
            ..
        } = self;
        if let Some(OtherCluster { expected, found }) = &self.other_cluster {
            return write!(
                f,
                "flow {flow}, sealed at e{epoch}: the source {source} is cluster {found} now, the flow's was {expected}\n\
                 It is another cluster altogether: nothing that the flow's held beyond the cut can be found there. Check bootstrap.servers."
            );
        }
        writeln!(
            f,
            "flow {flow}, sealed at e{epoch}: what {source} holds beyond the cut, and {target} does not\n"
        )?;
        let shown = || self.partitions.iter().filter(|line| !line.is_nothing());
        let wide = shown().map(|line| line.topic.chars().count()).max();
        let wide = wide.unwrap_or_default().max("topic".len());
        if shown().next().is_some() {
            writeln!(
                f,
                "{:wide$}  partition           cut      records  first offset   last offset         keys      on both  earliest and latest",
                "topic"
            )?;
        }
        for line in shown() {
            let number = |number: Option<i64>| {
                number.map_or_else(|| "-".to_owned(), |number| number.to_string())
            };
            let keys = |pick: fn(&Keys) -> u64| {
                line.keys.as_ref().map_or_else(
                    || "-".to_owned(),
                    |keys| {
                        let least = if keys.exact { "" } else { "≥ " };
                        format!("{least}{}", words::count(pick(keys)))
                    },
                )
            };
            let times = line
                .tally
                .first_timestamp_ms
                .zip(line.tally.last_timestamp_ms);
            let times = times.map_or_else(
                || "-".to_owned(),
                |(first, last)| format!("{} to {}", words::moment(first), words::moment(last)),
            );
            writeln!(
                f,
                "{:wide$}  {:>9}  {:>12}  {:>11}  {:>12}  {:>12}  {:>11}  {:>11}  {times}",
                line.topic,
                line.partition,
                line.cut
                    .map_or_else(|| "never".to_owned(), |cut| cut.to_string()),
                words::count(line.tally.records),
                number(line.tally.first_offset),
                number(line.tally.last_offset),
                keys(|keys| keys.distinct),
                keys(|keys| keys.on_both),
            )?;
            for note in line.notes() {
                writeln!(f, "    {note}")?;
            }
        }
        self.tell_groups(f)?;
        self.tell_end(f)
    }
}

impl Survey {
    fn tell_groups(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Groups {
            beyond,
            unreadable,
            unknown,
        } = &self.groups;
        if !beyond.is_empty() {
            writeln!(
                f,
                "\ngroups that have read records which only {} holds:",
                self.source
            )?;
        }
        for place in beyond {
            let how = if place.read_all {
                "all that is committed"
            } else {
                "a part"
            };
            writeln!(
                f,
                "    {}: {}-{} up to {}, {how} of what lies beyond {}",
                place.group, place.topic, place.partition, place.source_offset, place.tail_begins
            )?;
        }
        for (group, reason) in unreadable {
            writeln!(f, "    {group}: not known: {reason}")?;
        }
        if let Some(reason) = unknown {
            writeln!(f, "\nwhat groups have read is not known: {reason}")?;
        }
        Ok(())
    }

    fn tell_end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nothing = self.partitions.iter().filter(|line| line.is_nothing());
        let (all, nothing) = (self.partitions.len(), nothing.count());
        writeln!(
            f,
            "\n{} beyond the cut, as a reader of committed records meets them (those of aborted transactions are not counted); {nothing} of {all} partitions have none and lost nothing",
            words::counted(self.records, "record")
        )?;
        if self.partitions.iter().any(|line| line.moved) {
            writeln!(
                f,
                "THE ENDS MOVED while this looked: somebody writes to {}, and the numbers are lower bounds. Fence its writers (`understudy fence PAIR.toml`, docs/recovery.md) and look again.",
                self.source
            )?;
        } else {
            writeln!(
                f,
                "No end moved while this looked. That proves no fence: fence the writers of {} before you rely on it.",
                self.source
            )?;
        }
        if self.records > 0 {
            writeln!(
                f,
                "`understudy salvage FLOW.toml export` puts these records aside on {}, in topics such as {}; `merge` puts those of a topic into the topic itself.",
                self.target,
                tail_topic("TOPIC", self.epoch)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use understudy_domain::SourceOffset;
    use understudy_domain::tail::Loss;
    use understudy_flow::report::Report as _;

    use super::*;
    use crate::survey::Line;
    use crate::tally::Tally;

    fn line(records: u64) -> Line {
        Line {
            topic: "orders".to_owned(),
            partition: 3,
            copies: "orders".to_owned(),
            cut: Some(1_200),
            uncounted_offsets: 0,
            copies_end: Some(1_300),
            copies_begin: Some(0),
            begins: 1_200,
            end: 1_230,
            tally: Tally {
                records,
                without_key: 0,
                first_offset: Some(1_200),
                last_offset: Some(1_228),
                first_timestamp_ms: Some(1_795_481_247_000),
                last_timestamp_ms: Some(1_795_481_248_000),
            },
            held_back_offsets: 0,
            keys: Some(Keys {
                distinct: 12,
                on_both: 5,
                exact: false,
            }),
            loss: None,
            moved: false,
            unknown: None,
            put_aside: None,
        }
    }

    fn survey_of(partitions: Vec<Line>) -> Survey {
        Survey {
            flow: "use1-usw2".to_owned(),
            epoch: 7,
            source: "use1".to_owned(),
            target: "usw2".to_owned(),
            holds: partitions.iter().all(Line::is_nothing),
            other_cluster: None,
            moved: partitions.iter().any(|line| line.moved),
            records: partitions.iter().map(|line| line.tally.records).sum(),
            partitions,
            groups: Groups::default(),
        }
    }

    #[test]
    fn people_read_how_much_lies_where_and_what_to_do() {
        let survey = survey_of(vec![line(28)]);
        assert!(!survey.holds());
        let text = survey.to_string();
        for part in [
            "sealed at e7",
            "1200",
            "28",
            "1228",
            "≥ 12",
            "≥ 5",
            "2026-11-24 00:47:27 UTC to 2026-11-24 00:47:28 UTC",
            "28 records beyond the cut",
            "aborted transactions are not counted",
            "fence the writers of use1",
            "export",
            "TOPIC.tail.e7",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn machines_read_counts_beside_the_place_and_losses_by_kind() -> Result<(), serde_json::Error> {
        let mut lost = line(0);
        lost.loss = Some(Loss::Shortened {
            end: SourceOffset::new(1_100),
        });
        let value: serde_json::Value = serde_json::from_str(&survey_of(vec![lost]).json()?)?;
        let at = |path: &str| value.pointer(path).cloned().unwrap_or_default();
        assert_eq!(at("/holds"), false);
        assert_eq!(at("/partitions/0/records"), 0);
        assert_eq!(at("/partitions/0/first_offset"), 1_200);
        assert_eq!(at("/partitions/0/loss/kind"), "shortened");
        assert_eq!(at("/partitions/0/loss/end"), 1_100);
        assert_eq!(at("/partitions/0/keys/on_both"), 5);
        Ok(())
    }

    #[test]
    fn only_a_source_without_a_tail_or_a_loss_that_stands_still_holds() {
        assert!(survey_of(vec![line(0)]).holds());
        let spoil: [fn(&mut Line); 4] = [
            |line| line.moved = true,
            |line| line.held_back_offsets = 1,
            |line| line.unknown = Some("no leader".to_owned()),
            |line| line.loss = Some(Loss::TopicGone),
        ];
        for spoil in spoil {
            let mut spoilt = line(0);
            spoil(&mut spoilt);
            assert!(!spoilt.notes().is_empty());
            assert!(!survey_of(vec![spoilt]).holds());
        }
    }

    #[test]
    fn what_was_never_copied_is_told_apart() {
        let mut never = line(3);
        never.cut = None;
        let text = survey_of(vec![never]).to_string();
        assert!(text.contains("never copied"), "{text}");
    }

    #[test]
    fn writers_that_are_not_fenced_are_told_loudly() {
        let mut moving = line(3);
        moving.moved = true;
        let text = survey_of(vec![moving]).to_string();
        assert!(text.contains("THE ENDS MOVED") && text.contains("understudy fence"));
    }

    #[test]
    fn another_cluster_is_named_with_both_ids() {
        let mut survey = survey_of(Vec::new());
        survey.other_cluster = Some(OtherCluster {
            expected: "Old".to_owned(),
            found: "New".to_owned(),
        });
        let text = survey.to_string();
        assert!(
            text.contains("cluster New now, the flow's was Old"),
            "{text}"
        );
    }
}
