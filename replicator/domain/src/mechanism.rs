//! How a client proves who it is.

/// A SASL mechanism, as a flow file names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mechanism {
    /// User and password in the open; only inside TLS.
    Plain,
    /// User and password, salted and hashed.
    ScramSha256,
    /// The same with the longer hash; what MSK speaks.
    ScramSha512,
    /// A token from somebody whom the brokers trust.
    OauthBearer,
    /// MSK's IAM; on the wire it is OAUTHBEARER with a signed request as its token.
    AwsMskIam,
}

impl Mechanism {
    /// Every mechanism.
    pub const ALL: [Self; 5] = [
        Self::Plain,
        Self::ScramSha256,
        Self::ScramSha512,
        Self::OauthBearer,
        Self::AwsMskIam,
    ];

    /// As Kafka's clients spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
            Self::AwsMskIam => "AWS_MSK_IAM",
        }
    }

    /// The mechanism of this exact name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name() == name)
    }

    /// What goes over the wire.
    pub fn on_the_wire(self) -> &'static str {
        match self {
            Self::AwsMskIam => Self::OauthBearer.name(),
            other => other.name(),
        }
    }

    /// Whether it needs `sasl.username` and `sasl.password`.
    pub fn has_password(self) -> bool {
        matches!(self, Self::Plain | Self::ScramSha256 | Self::ScramSha512)
    }
}

/// The AWS Region of MSK brokers, read from their names (`….kafka.REGION.amazonaws.com`,
/// `….kafka-serverless.REGION.amazonaws.com`); `None` for other names, or if they disagree.
pub fn msk_region(bootstrap_servers: &str) -> Option<&str> {
    let mut regions = bootstrap_servers.split(',').map(|server| {
        let (host, _port) = server.trim().rsplit_once(':')?;
        let host = host.strip_suffix(".cn").unwrap_or(host);
        let (rest, region) = host.strip_suffix(".amazonaws.com")?.rsplit_once('.')?;
        let (_cluster, service) = rest.rsplit_once('.')?;
        (service == "kafka" || service == "kafka-serverless").then_some(region)
    });
    let first = regions.next()??;
    regions.all(|region| region == Some(first)).then_some(first)
}
