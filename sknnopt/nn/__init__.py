"""Networks of K members at once, and the door for a user's own module."""

from sknnopt._layout import Layout, padded
from sknnopt.nn._as_scores import AsScores, Remade
from sknnopt.nn._dense import ScaledLinear
from sknnopt.nn._embedding import ColumnwiseLinear, InputEmbedding
from sknnopt.nn._ensemble import Link, MemberAverage, average
from sknnopt.nn._factory import Module
from sknnopt.nn._heads_modules import Heads, HeadsAverage, HeadsLinear, HeadsOutput
from sknnopt.nn._inputs import Inputs
from sknnopt.nn._layer import EVALUATION, Pass
from sknnopt.nn._network import BoundNetwork, Network, copy_of, load_member
from sknnopt.nn._parts import Rowset
from sknnopt.nn._residual import Residual
from sknnopt.nn._scores import predict_scores
from sknnopt.nn._stack import StackedNetwork
from sknnopt.nn._temperature import Temperature, set_temperature
from sknnopt.nn._workspace import Rows, Workspace, width
from sknnopt.nn.custom import CustomNetwork
from sknnopt.nn.mlp import MLP
from sknnopt.nn.resnet import ResNet
from sknnopt.nn.tabm import TabM

__all__ = [
    "EVALUATION",
    "MLP",
    "AsScores",
    "BoundNetwork",
    "ColumnwiseLinear",
    "CustomNetwork",
    "Heads",
    "HeadsAverage",
    "HeadsLinear",
    "HeadsOutput",
    "InputEmbedding",
    "Inputs",
    "Layout",
    "Link",
    "MemberAverage",
    "Module",
    "Network",
    "Pass",
    "Remade",
    "ResNet",
    "Residual",
    "Rows",
    "Rowset",
    "ScaledLinear",
    "StackedNetwork",
    "TabM",
    "Temperature",
    "Workspace",
    "average",
    "copy_of",
    "load_member",
    "padded",
    "predict_scores",
    "set_temperature",
    "width",
]
