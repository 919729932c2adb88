//! An example of each code, as manifests and as what mends them.

use super::Code;

/// Where an example's code is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The objects alone decide it, so that `vigie lint` says it of the broken example and not of the
    /// mended one. A test holds it to that.
    InFolder(Example),
    /// It takes what only a cluster knows: pods, proxies, requests.
    InCluster(Example),
}

/// Manifests as a difference: of each line the first character says whether it stands in both forms
/// (a blank), in the broken one alone (`-`) or in the mended one alone (`+`).
///
/// `<certificate for HOSTS until DATE>` and `<key of that certificate>` stand for texts that would
/// hide the example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example(&'static str);

impl Shown {
    pub fn example(self) -> Example {
        match self {
            Self::InFolder(example) | Self::InCluster(example) => example,
        }
    }
}

impl Example {
    pub fn as_difference(self) -> &'static str {
        self.0
    }

    pub fn broken(self) -> String {
        self.without('+')
    }

    pub fn mended(self) -> String {
        self.without('-')
    }

    fn without(self, mark: char) -> String {
        let lines = self.0.lines().filter(|line| !line.starts_with(mark));
        let bare = lines.map(|line| line.get(1..).unwrap_or_default());
        bare.flat_map(|line| [line, "\n"]).collect()
    }
}

macro_rules! example {
    ($place:ident $code:literal) => {
        Shown::$place(Example(include_str!(concat!("examples/", $code, ".diff"))))
    };
}

pub(super) fn shown(code: Code) -> Shown {
    match code {
        Code::RH101 => example!(InFolder "RH101"),
        Code::RH102 => example!(InFolder "RH102"),
        Code::RH103 => example!(InFolder "RH103"),
        Code::RH104 => example!(InFolder "RH104"),
        Code::RH105 => example!(InFolder "RH105"),
        Code::RH106 => example!(InFolder "RH106"),
        Code::RH107 => example!(InFolder "RH107"),
        Code::RH108 => example!(InCluster "RH108"),
        Code::RH109 => example!(InFolder "RH109"),
        Code::RH201 => example!(InFolder "RH201"),
        Code::RH202 => example!(InFolder "RH202"),
        Code::RH203 => example!(InFolder "RH203"),
        Code::RH204 => example!(InFolder "RH204"),
        Code::RH205 => example!(InFolder "RH205"),
        Code::RH206 => example!(InFolder "RH206"),
        Code::RH207 => example!(InFolder "RH207"),
        Code::RH208 => example!(InFolder "RH208"),
        Code::RH209 => example!(InFolder "RH209"),
        Code::RH210 => example!(InFolder "RH210"),
        Code::RH212 => example!(InCluster "RH212"),
        Code::RH213 => example!(InFolder "RH213"),
        Code::RH214 => example!(InFolder "RH214"),
        Code::RH215 => example!(InFolder "RH215"),
        Code::RH216 => example!(InFolder "RH216"),
        Code::RH217 => example!(InFolder "RH217"),
        Code::RH218 => example!(InFolder "RH218"),
        Code::RH302 => example!(InCluster "RH302"),
        Code::RH304 => example!(InCluster "RH304"),
        Code::RH305 => example!(InCluster "RH305"),
        Code::RH306 => example!(InFolder "RH306"),
        Code::RH309 => example!(InCluster "RH309"),
        Code::RH311 => example!(InFolder "RH311"),
        Code::RH312 => example!(InFolder "RH312"),
        Code::RH313 => example!(InCluster "RH313"),
        Code::RH314 => example!(InFolder "RH314"),
        Code::RH315 => example!(InFolder "RH315"),
        Code::RH316 => example!(InFolder "RH316"),
        Code::RH317 => example!(InFolder "RH317"),
        Code::RH401 => example!(InFolder "RH401"),
        Code::RH402 => example!(InFolder "RH402"),
        Code::RH403 => example!(InCluster "RH403"),
        Code::RH404 => example!(InCluster "RH404"),
        Code::RH405 => example!(InCluster "RH405"),
        Code::RH406 => example!(InCluster "RH406"),
        Code::RH407 => example!(InCluster "RH407"),
        Code::RH408 => example!(InCluster "RH408"),
        Code::RH409 => example!(InCluster "RH409"),
        Code::RH410 => example!(InCluster "RH410"),
        Code::RH411 => example!(InFolder "RH411"),
        Code::RH417 => example!(InFolder "RH417"),
        Code::RH418 => example!(InFolder "RH418"),
        Code::RH419 => example!(InCluster "RH419"),
        Code::RH515 => example!(InFolder "RH515"),
        Code::RH516 => example!(InFolder "RH516"),
        Code::RH809 => example!(InCluster "RH809"),
        Code::RH901 => example!(InFolder "RH901"),
        Code::RH902 => example!(InFolder "RH902"),
        Code::RH903 => example!(InCluster "RH903"),
        Code::RH904 => example!(InFolder "RH904"),
        Code::RH907 => example!(InFolder "RH907"),
        Code::RH908 => example!(InFolder "RH908"),
        Code::RH909 => example!(InFolder "RH909"),
        Code::RH910 => example!(InFolder "RH910"),
        Code::RH911 => example!(InFolder "RH911"),
    }
}
