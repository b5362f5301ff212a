"""What test-time compute costs: FLOPs, bytes, eFLOPs, seconds, dollars, joules.

    from ttscale.cost import Architecture, Hardware, decode_work, prefill_work, price

    model, machine = Architecture.from_config("Qwen3-8B"), Hardware.load("H100")
    work = prefill_work(model, 256) + decode_work(model, 256, 8192, batch=8) * 8
    price(work, machine).seconds

Nothing here needs torch or vLLM.
"""

from ttscale.cost.architecture import Architecture, Experts, Layer
from ttscale.cost.calibration import Fit, calibrate
from ttscale.cost.catalog import architecture_names, hardware_names
from ttscale.cost.estimate import Question, estimate
from ttscale.cost.hardware import Calibration, Hardware
from ttscale.cost.kinetics import KineticsCost, kinetics_cost, monkeys_flops, monkeys_token_flops
from ttscale.cost.ledger import PricedLedger, decode_batch, ledger_flops, price_ledger
from ttscale.cost.memory import Capacity, capacity
from ttscale.cost.occupancy import machine_seconds
from ttscale.cost.policy import AttentionPolicy, parse_policy
from ttscale.cost.price import Price, price, roofline_seconds
from ttscale.cost.speculative import SpeculativeWork, expected_tokens, speculative_work, speed_up
from ttscale.cost.sums import attended, blocks_attended, compressed_peak, compressed_reads
from ttscale.cost.tree import tree_contexts, tree_decode_work
from ttscale.cost.units import Quantity, format_quantity, parse_quantity
from ttscale.cost.verify import judge_work, score_work
from ttscale.cost.work import Split, Work, decode_work, mean_batch, prefill_work

__all__ = [
    "Architecture",
    "AttentionPolicy",
    "Calibration",
    "Capacity",
    "Experts",
    "Fit",
    "Hardware",
    "KineticsCost",
    "Layer",
    "Price",
    "PricedLedger",
    "Quantity",
    "Question",
    "SpeculativeWork",
    "Split",
    "Work",
    "architecture_names",
    "attended",
    "blocks_attended",
    "calibrate",
    "capacity",
    "compressed_peak",
    "compressed_reads",
    "decode_batch",
    "decode_work",
    "estimate",
    "expected_tokens",
    "format_quantity",
    "hardware_names",
    "judge_work",
    "kinetics_cost",
    "ledger_flops",
    "machine_seconds",
    "mean_batch",
    "monkeys_flops",
    "monkeys_token_flops",
    "parse_policy",
    "parse_quantity",
    "prefill_work",
    "price",
    "price_ledger",
    "roofline_seconds",
    "score_work",
    "speculative_work",
    "speed_up",
    "tree_contexts",
    "tree_decode_work",
]
