"""Laws of test-time compute: fits with intervals, extrapolation, saturation, from a laptop."""

from ttscale.laws.coverage import fit_coverage
from ttscale.laws.curve import fit_curve, fit_points
from ttscale.laws.draws import Estimate, Prediction
from ttscale.laws.families import CURVES, MIXING, law_names
from ttscale.laws.fit import Asymptote, Fit, Peak
from ttscale.laws.lawfit import LawFit
from ttscale.laws.loglog import PowerLaw, loglog_fit
from ttscale.laws.parscale import ParScale, fit_parscale
from ttscale.laws.saturation import Saturation, saturation, saturation_by_price
from ttscale.laws.verifier import ImperfectVerifier

__all__ = [
    "CURVES",
    "MIXING",
    "Asymptote",
    "Estimate",
    "Fit",
    "ImperfectVerifier",
    "LawFit",
    "ParScale",
    "Peak",
    "PowerLaw",
    "Prediction",
    "Saturation",
    "fit_coverage",
    "fit_curve",
    "fit_parscale",
    "fit_points",
    "law_names",
    "loglog_fit",
    "saturation",
    "saturation_by_price",
]
