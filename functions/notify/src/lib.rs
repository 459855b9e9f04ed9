//! Tells people, once for each thing that there is to tell.

use understudy_recovery::contract::{Notified, NotifyRequest};
use understudy_recovery::{ErrorName, StepError};
use understudy_shell::step::{folder_of, load, save};
use understudy_shell::{PortErrorKind, World, keys};

/// The longest subject that SNS takes.
const SUBJECT: usize = 100;

/// Tells people. Asked again for the same, it tells nobody twice, as far as the store answers: told twice is better than
/// not told.
///
/// # Errors
/// Nobody could be told.
pub fn handle(world: &World, request: NotifyRequest) -> Result<Notified, StepError> {
    if request.pair != world.pair.name {
        return Err(StepError::new(
            ErrorName::UnknownPair,
            format!(
                "this function serves pair {}, and was asked for {}",
                world.pair.name, request.pair
            ),
        ));
    }
    let what = keys::fingerprint(&format!("{}\n{}", request.subject, request.text));
    let folder = folder_of(&request.execution.to_string());
    let key = format!("{folder}/told/{what}.json");
    if let Some(before) = load::<Notified>(world, &key).ok().flatten() {
        return Ok(before);
    }
    let told = world
        .people
        .tell(&subject(&request.subject), &request.text)
        .map_err(|error| {
            let name = match error.kind {
                PortErrorKind::NotPermitted => ErrorName::NotPermitted,
                PortErrorKind::Unreachable
                | PortErrorKind::TimedOut
                | PortErrorKind::Conflict
                | PortErrorKind::Missing
                | PortErrorKind::Malformed
                | PortErrorKind::Refused => ErrorName::DeadlineExceeded,
            };
            StepError::new(
                name,
                format!("people were not told of {}: {error}", request.execution),
            )
        })?;
    let notified = Notified { told };
    // Without this they may be told again, which is no harm.
    let _kept = save(world, &key, &notified);
    Ok(notified)
}

/// One line of printable ASCII, as SNS wants it.
fn subject(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '→' => '>',
            letter if letter.is_ascii_graphic() => letter,
            _ => ' ',
        })
        .take(SUBJECT)
        .collect()
}
