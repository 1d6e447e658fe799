"""What a configuration costs to serve."""

from vlmfrontier.cost.model import CostModel, cost_model, has_cost, has_vision_share
from vlmfrontier.cost.paper import PaperCost, paper_cost

__all__ = ["CostModel", "PaperCost", "cost_model", "has_cost", "has_vision_share", "paper_cost"]
