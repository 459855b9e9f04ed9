//! People, told through SNS topics. One that answers is enough: the others may be in a Region that is lost.

use std::sync::Arc;
use std::time::Duration;

use understudy_recovery::pair::Pair;
use understudy_shell::world::People;
use understudy_shell::{PortError, bounded};

use crate::regions::Regions;

/// How long a topic may take; side by side.
const WITHIN: Duration = Duration::from_secs(4);

/// People that a pair's topics reach.
#[derive(Clone, Debug)]
pub struct SnsPeople {
    regions: Regions,
    pair: Arc<Pair>,
}

impl SnsPeople {
    /// People that a pair's topics reach.
    pub fn new(regions: &Regions, pair: &Arc<Pair>) -> Self {
        Self {
            regions: regions.clone(),
            pair: Arc::clone(pair),
        }
    }

    fn publish(&self, topic: &str, subject: &str, text: &str) -> Result<(), PortError> {
        // arn:aws:sns:REGION:ACCOUNT:NAME
        let region = topic
            .split(':')
            .nth(3)
            .unwrap_or(self.regions.session().region());
        let client = aws_sdk_sns::Client::new(&self.regions.config(region));
        let call = client
            .publish()
            .topic_arn(topic)
            .subject(subject)
            .message(text)
            .send();
        self.regions
            .session()
            .call(&format!("publishing to {topic}"), call)?;
        Ok(())
    }
}

impl People for SnsPeople {
    fn tell(&self, subject: &str, text: &str) -> Result<u32, PortError> {
        let subject = one_line(subject);
        let under_way: Vec<_> = self
            .pair
            .notify
            .iter()
            .map(|topic| {
                let (this, topic) = (self.clone(), topic.clone());
                let (subject, text) = (subject.clone(), text.to_owned());
                bounded::start(move || this.publish(&topic, &subject, &text))
            })
            .collect();
        let mut told = 0_u32;
        let mut refused = None;
        for pending in under_way {
            match pending.wait(WITHIN) {
                Some(Ok(())) => told = told.saturating_add(1),
                Some(Err(error)) => refused = Some(error),
                None => {}
            }
        }
        match refused {
            Some(error) if told == 0 => Err(error),
            Some(_) | None => Ok(told),
        }
    }
}

/// SNS takes a subject of one line of at most 100 characters of ASCII.
fn one_line(subject: &str) -> String {
    subject
        .chars()
        .map(|it| if (' '..='~').contains(&it) { it } else { ' ' })
        .take(100)
        .collect()
}
