"""Which ways of making a class-activation map are there? No input; a catalogue out, light enough for a menu (no torch).

Score-CAM (Wang et al. 2020, doi 10.1109/CVPRW50498.2020.00020) is left out on purpose: it masks the image and needs a
pass through the whole network a channel. On the seam there is no image to mask; masking features instead would be
another method under its name.
"""

from __future__ import annotations

from dataclasses import dataclass

from her2core.errors import NetworkError


@dataclass(frozen=True)
class Method:
    """One way of making a map.

    ``title`` for people; ``explanation`` one plain sentence; ``reference`` author, year, DOI or arXiv number;
    ``class_specific`` whether the map depends on the class asked for; ``formula`` the class in pytorch_grad_cam that
    computes it, None where we do.
    """

    title: str
    explanation: str
    reference: str
    class_specific: bool
    formula: str | None = None


#: Where the head is global average pooling and one linear layer (the modified ResNet50, most timm CNNs), the gradient
#: is the same in every cell. HiResCAM and XGrad-CAM then equal Grad-CAM by arithmetic (their agreement is no evidence),
#: and Ablation-CAM weighs each channel by its gradient times its mean.
METHODS: dict[str, Method] = {
    "gradcam": Method(
        "Grad-CAM",
        "Weighs each feature channel by how strongly, on average over the patch, it raises the score of the class.",
        "Selvaraju et al. 2017, doi 10.1109/ICCV.2017.74",
        True,
    ),
    "gradcam_plusplus": Method(
        "Grad-CAM++",
        "Like Grad-CAM, but counts only rising slopes and gives weight to small structures that occur several times.",
        "Chattopadhay et al. 2018, doi 10.1109/WACV.2018.00097",
        True,
        "GradCAMPlusPlus",
    ),
    "hirescam": Method(
        "HiResCAM",
        "Multiplies features and slopes place by place, so that it marks only places that really raised the score.",
        "Draelos and Carin 2020, arXiv 2011.08891",
        True,
        "HiResCAM",
    ),
    "layercam": Method(
        "LayerCAM",
        "Weighs each place of each channel by its own slope where that is rising, and leaves falling slopes out.",
        "Jiang et al. 2021, doi 10.1109/TIP.2021.3089943",
        True,
        "LayerCAM",
    ),
    "xgradcam": Method(
        "XGrad-CAM",
        "Like Grad-CAM, but a slope counts for more at places where the channel itself is strong.",
        "Fu et al. 2020, arXiv 2008.02312",
        True,
        "XGradCAM",
    ),
    "eigengradcam": Method(
        "Eigen-Grad-CAM",
        "Shows the one pattern by which features times slopes vary most over the patch; often cleaner, but coarser.",
        "Gildenblat 2021 (pytorch-grad-cam), after Muhammad and Yeasin 2020, doi 10.1109/IJCNN48605.2020.9206626",
        True,
        "EigenGradCAM",
    ),
    "ablationcam": Method(
        "Ablation-CAM",
        "Switches each feature channel off in turn and weighs it by how far the score of the class drops; no slopes.",
        "Desai and Ramaswamy 2020, doi 10.1109/WACV45572.2020.9093360",
        True,
        "AblationCAM",
    ),
}


def find_method(name: str) -> Method:
    """The method called ``name``. Raises NetworkError, with the list, for a name that is not in METHODS."""
    if name not in METHODS:
        raise NetworkError(f"a method out of {', '.join(METHODS)}", got=repr(name), where="map", fix="Choose one.")
    return METHODS[name]
