"""Registry of class-activation map methods, light enough for a menu (no torch).

Score-CAM (Wang et al. 2020, doi 10.1109/CVPRW50498.2020.00020) is left out on purpose: it masks the image and needs a
pass through the whole network for each channel. Between features and head there is no image to mask; masking features
instead would be another method under its name.
"""

from __future__ import annotations

from dataclasses import dataclass

from her2core.errors import ConfigError


@dataclass(frozen=True)
class MapMethod:
    """One method of computing a class-activation map.

    Attributes
    ----------
    name : str
        What code, addresses and file names call it.
    label : str
        Its name for people.
    description : str
        One plain sentence.
    reference : str
        Author, year, DOI or arXiv number.
    needs_gradients : bool
        Whether it uses the gradient of the class score; Ablation-CAM uses scores alone.
    package_class : str or None
        The class in pytorch_grad_cam that computes it; None where this package does.

    Examples
    --------
    >>> METHODS["layercam"].label
    'LayerCAM'
    """

    name: str
    label: str
    description: str
    reference: str
    needs_gradients: bool = True
    package_class: str | None = None


#: Where the head is global average pooling and one linear layer (the modified ResNet50, most timm CNNs), the gradient
#: is the same in every cell. HiResCAM and XGrad-CAM then equal Grad-CAM by arithmetic (their agreement is no evidence),
#: and Ablation-CAM weights each channel by its gradient times its mean.
METHODS: dict[str, MapMethod] = {
    method.name: method
    for method in (
        MapMethod(
            "gradcam",
            "Grad-CAM",
            "Weights each feature channel by its mean gradient, the average effect on the score of the class.",
            "Selvaraju et al. 2017, doi 10.1109/ICCV.2017.74",
        ),
        MapMethod(
            "gradcam_plusplus",
            "Grad-CAM++",
            "Like Grad-CAM, but with positive gradients only and more weight for small structures that recur.",
            "Chattopadhay et al. 2018, doi 10.1109/WACV.2018.00097",
            package_class="GradCAMPlusPlus",
        ),
        MapMethod(
            "hirescam",
            "HiResCAM",
            "Multiplies features and gradients cell by cell, so that only cells that raised the score are marked.",
            "Draelos and Carin 2020, arXiv 2011.08891",
            package_class="HiResCAM",
        ),
        MapMethod(
            "layercam",
            "LayerCAM",
            "Weights each cell of each channel by its own gradient where that is positive.",
            "Jiang et al. 2021, doi 10.1109/TIP.2021.3089943",
            package_class="LayerCAM",
        ),
        MapMethod(
            "xgradcam",
            "XGrad-CAM",
            "Like Grad-CAM, but gradients count for more in cells where the channel itself is strong.",
            "Fu et al. 2020, arXiv 2008.02312",
            package_class="XGradCAM",
        ),
        MapMethod(
            "eigengradcam",
            "Eigen-Grad-CAM",
            "First principal component of features times gradients over the patch; often less noisy, but coarser.",
            "Gildenblat 2021 (pytorch-grad-cam), after Muhammad and Yeasin 2020, doi 10.1109/IJCNN48605.2020.9206626",
            package_class="EigenGradCAM",
        ),
        MapMethod(
            "ablationcam",
            "Ablation-CAM",
            "Sets each feature channel to zero in turn and weights it by the drop of the class score; no gradients.",
            "Desai and Ramaswamy 2020, doi 10.1109/WACV45572.2020.9093360",
            needs_gradients=False,
            package_class="AblationCAM",
        ),
    )
}


def find_method(name: str) -> MapMethod:
    """Entry of a method by its name.

    Parameters
    ----------
    name : str
        A key of `METHODS`.

    Returns
    -------
    MapMethod

    Raises
    ------
    ConfigError
        For an unknown name, with all that there are.

    Examples
    --------
    >>> find_method("gradcam").reference
    'Selvaraju et al. 2017, doi 10.1109/ICCV.2017.74'
    >>> find_method("x")
    Traceback (most recent call last):
        ...
    her2core.errors.ConfigError: Expected argument `method` to be one of 'gradcam', 'gradcam_plusplus', 'hirescam', \
'layercam', 'xgradcam', 'eigengradcam', 'ablationcam', but got 'x'.
    """
    if name not in METHODS:
        raise ConfigError(f"argument `method` to be one of {', '.join(map(repr, METHODS))}", got=repr(name), fix="")
    return METHODS[name]
