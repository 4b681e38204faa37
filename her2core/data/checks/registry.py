"""The registry of data checks.

Each check has one entry here: code, title, severity, explanation, fix and function. ``check_manifest`` runs all of them
in this order, and docs/checks.md is generated from them by documentation.py. A further check
is one function ``(CheckInputs) -> Result`` in a file of this package, one entry, and two tests: one that fires it and
one that does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from her2core.data.checks.check import Check
from her2core.data.checks.colour import colour_confounded
from her2core.data.checks.confounding import patient_confounded, scanner_confounded, site_confounded
from her2core.data.checks.duplicates import identical_images, near_duplicates
from her2core.data.checks.embeddings import embedding_site
from her2core.data.checks.identity import file_name_ids, patient_spellings, shared_ids, slide_of_two_patients
from her2core.data.checks.ids import rounded_ids
from her2core.data.checks.image_quality import image_quality
from her2core.data.checks.labels import (
    empty_class,
    image_with_two_labels,
    label_conflict,
    patient_with_two_labels,
    split_part_without_class,
)
from her2core.data.checks.leaks import patient_leak, slide_leak
from her2core.data.checks.neighbours import neighbouring_tiles
from her2core.data.checks.patients import (
    dominant_patient,
    few_patients,
    few_patients_for_interval,
    few_test_patients,
    unknown_patients,
)
from her2core.data.checks.rows import missing_files, missing_mpp, unreadable_images
from her2core.data.checks.shortcuts import column_shortcut, corner_marks, file_shortcut, partial_stain
from her2core.data.checks.splits import incomplete_split

_ALL = (
    Check(
        "missing-files",
        "Missing image files",
        "error",
        "A row without its image can be used neither for training nor for testing.",
        "Restore the files, or remove these rows.",
        missing_files,
    ),
    Check(
        "unreadable-images",
        "Unreadable images",
        "error",
        "A damaged file, or a window that exceeds its image, can be used neither for training nor for testing.",
        "Replace these files or correct their windows, or remove their rows.",
        unreadable_images,
        ("contents",),
    ),
    Check(
        "rounded-ids",
        "Ids changed by a spreadsheet",
        "error",
        "A spreadsheet shows long numeric ids in scientific notation and saves them like that. Different patients then "
        "share one id: patients are counted wrongly, and every figure and interval per patient is wrong. Ids such as "
        "MAR1 or 3-4 become dates (a warning): different ids may be one then, and one id two.",
        "Export the table again with the id columns formatted as text; or clear these ids, so that they count as "
        "unknown. Rounding cannot be undone.",
        rounded_ids,
    ),
    Check(
        "patient-spellings",
        "One patient under several spellings",
        "warning",
        "Ids that differ only in case, leading zeros, separators, blanks, Unicode form or decimals, or by the sample "
        "and slide of a TCGA barcode, count one patient as several: a split by patient does not keep them together.",
        "Give each patient one spelling. Ids that are different patients should differ in a letter or digit.",
        patient_spellings,
    ),
    Check(
        "file-name-ids",
        "Patient id equal to the file name",
        "warning",
        "Where every file is a patient of its own, patches of one patient are in several parts of a split, and "
        "intervals by patient are as narrow as those by patch. Information only where nothing shows that two files are "
        "of one patient (a common slide or TCGA barcode, coordinates or a word such as tile in the names).",
        "Enter the patients from whom the files are. If each file really is another patient, nothing is wrong.",
        file_name_ids,
    ),
    Check(
        "slide-of-two-patients",
        "Slide or file of another patient",
        "warning",
        "A slide under two patient ids is one patient under two names, or its rows are mixed up: a split by patient "
        "then separates patches of one slide. So are rows whose file or slide is named after another patient, as after "
        "a join that is off by a row: they have the label of somebody else.",
        "Correct the patient or slide ids of these rows.",
        slide_of_two_patients,
    ),
    Check(
        "shared-patient-id",
        "Patient id shared by several people",
        "warning",
        "Different ages, sexes, receptor results or sites under one id are several patients who count as one.",
        "Make the ids unique, for example by adding the site, or correct the columns.",
        shared_ids,
    ),
    Check(
        "empty-class",
        "Class without patches",
        "warning",
        "A class without patches cannot be learned, and no figure can be given for it.",
        "Add patches of these classes, or declare fewer classes.",
        empty_class,
    ),
    Check(
        "incomplete-split",
        "Split with absent parts or rows",
        "warning",
        "Without a training, validation or test part nothing can be learned, chosen or shown; rows without a part are "
        "silently left out of every figure, and a patch in two parts is tested on what was learned.",
        "Give every patch exactly one part (train, val, test), or split anew (her2 data split).",
        incomplete_split,
        ("split",),
    ),
    Check(
        "split-part-without-class",
        "Split part without a class",
        "warning",
        "Without training patches a class is never predicted; without validation patches, the epoch, the temperature "
        "and the prediction sets are chosen as if the class did not exist; without test patches, no figure can be "
        "given for it.",
        "Move patients of these classes into the part, or split anew (her2 data split).",
        split_part_without_class,
        ("split",),
    ),
    Check(
        "few-patients",
        "Few patients per class",
        "warning",
        "Patients are the unit of every claim about new patients; more patches of one patient do not replace them.",
        "Add patients; intervals over so few are wide or cannot be given.",
        few_patients,
    ),
    Check(
        "few-patients-for-interval",
        "Too few patients for the requested interval width",
        "warning",
        "The width of an interval depends on the number of patients tested, however many patches each has.",
        "Add patients, test by cross-validation over patients, or accept a wider interval.",
        few_patients_for_interval,
        ("half_width",),
    ),
    Check(
        "few-test-patients",
        "Few patients in the test part",
        "warning",
        "Figures of a handful of test patients say little about new patients, however many patches they have.",
        "Add patients to the test part, or test by cross-validation over patients.",
        few_test_patients,
        ("split",),
    ),
    Check(
        "dominant-patient",
        "Patient with most of the patches",
        "warning",
        "Figures by patch are then those of one patient, and training fits that patient.",
        "Use fewer patches of this patient, and judge by patient.",
        dominant_patient,
    ),
    Check(
        "unknown-patients",
        "Unknown patient ids",
        "warning",
        "Patches of one patient look alike; without the ids it cannot be shown that a patient is in one part of the "
        "split only.",
        "Add the ids; until then no patient-level claim can be made.",
        unknown_patients,
    ),
    Check(
        "label-conflict",
        "Label contradicts IHC, ISH or folder",
        "warning",
        "A label that IHC, ISH or the name of the folder contradicts teaches and tests the wrong answer.",
        "Review these cases; nothing is corrected automatically.",
        label_conflict,
    ),
    Check(
        "patient-with-two-labels",
        "Patient with several labels",
        "warning",
        "A patient with several labels has no single correct answer.",
        "If labels belong to regions, patient-level figures are switched off; otherwise correct them.",
        patient_with_two_labels,
    ),
    Check(
        "image-with-two-labels",
        "Image with several labels",
        "warning",
        "The same picture under two labels has no correct answer; at least one of them is wrong.",
        "Review these rows; keep one label, or remove them.",
        image_with_two_labels,
    ),
    Check(
        "missing-mpp",
        "Unknown resolution",
        "info",
        "Without microns per pixel, patches of different scale cannot be told apart. A magnification or another unit "
        "in their place is a warning: fields and slides are then read at the wrong scale.",
        "Add the resolution: without it, it cannot be checked that a new patch has the same scale.",
        missing_mpp,
    ),
    Check(
        "site-confounded",
        "Class confounded with site",
        "warning",
        "A network can recognise the site by its stain and scanner and predict the site's class; its figures then do "
        "not transfer to another site.",
        "Add patients of each class from other sites.",
        site_confounded,
    ),
    Check(
        "scanner-confounded",
        "Class confounded with scanner",
        "warning",
        "A network can recognise the scanner by its colours and sharpness and predict the scanner's class; its figures "
        "then do not transfer to another scanner.",
        "Scan slides of each class on the other scanners too.",
        scanner_confounded,
    ),
    Check(
        "patient-confounded",
        "Class dominated by few patients",
        "warning",
        "Where a class is hardly more than one patient, recognising that patient is as good as recognising the class.",
        "Add patients of these classes, or use fewer patches of the dominating patients.",
        patient_confounded,
    ),
    Check(
        "patient-leak",
        "Patient in several split parts",
        "warning",
        "Patches of a patient seen in training are recognised; the test then says nothing about new patients.",
        "Split by patient; under this split the figures make no claim about new patients.",
        patient_leak,
        ("split",),
    ),
    Check(
        "slide-leak",
        "Slide in several split parts",
        "warning",
        "Patches of a slide seen in training are recognised; the test then says nothing about new slides.",
        "Split by patient or slide; under this split the figures make no claim about new slides.",
        slide_leak,
        ("split",),
    ),
    Check(
        "neighbouring-tiles",
        "Neighbouring tiles in different split parts",
        "warning",
        "Tiles that overlap or touch show the same cells, gland or stain in several parts of the split.",
        "Split by patient or by slide, so that neighbours stay together.",
        neighbouring_tiles,
        ("split",),
    ),
    Check(
        "image-quality",
        "Images without H&E tissue in focus",
        "warning",
        "A blank, black, blurred or inked patch, or one of another stain, shows nothing from which its label could "
        "follow; a network learns the fault, or its figures are those of such patches.",
        "Look at these patches; leave them out, or cut them anew.",
        image_quality,
        ("contents",),
    ),
    Check(
        "identical-images",
        "Identical images",
        "warning",
        "A training image that is also in the test part is recognised rather than classified.",
        "Remove the copies, or keep them in one part of the split.",
        identical_images,
        ("contents",),
    ),
    Check(
        "near-duplicates",
        "Near-duplicate images",
        "warning",
        "The same tissue, compressed anew, cropped, turned, shifted, magnified or restained, is recognised rather than "
        "classified; a comparison of files does not detect it.",
        "Review the pairs; remove one of each, or keep both in one part of the split.",
        near_duplicates,
        ("contents",),
    ),
    Check(
        "colour-confounded",
        "Class predictable from colour alone",
        "warning",
        "Colour alone, without any structure, predicts the class of patients not seen before: figures may rest on how "
        "the slides were stained.",
        "Check whether the classes were stained or scanned separately; normalise the stain, and report the figures of "
        "a colour-only classifier beside the network's.",
        colour_confounded,
        ("contents",),
    ),
    Check(
        "partial-stain",
        "Stain of a part of one class",
        "warning",
        "A stain, scanner or block that only some patients of one class have identifies them, whatever their tissue "
        "shows.",
        "Check how these patients were stained and scanned; normalise the stain, and test on patients of another site.",
        partial_stain,
        ("contents",),
    ),
    Check(
        "file-shortcut",
        "Class predictable from file properties",
        "warning",
        "Format, size, compression or sharpness of the files tell the class of patients not seen before; a network "
        "learns them as readily as tissue.",
        "Export all patches the same way (format, quality, magnification, focus), and report the baseline of file "
        "properties beside the network's figures.",
        file_shortcut,
        ("contents",),
    ),
    Check(
        "corner-marks",
        "Marks or borders that go with the class",
        "warning",
        "Ink, stamps or borders in the patches of one class tell it without any tissue.",
        "Cut the patches without these marks, or leave them out.",
        corner_marks,
        ("contents",),
    ),
    Check(
        "column-shortcut",
        "Class predictable from a column",
        "warning",
        "A column of the manifest (batch, date, scale, number of patches, file name) goes with the class: the classes "
        "were gathered in different ways, which the images may show.",
        "Find out how the classes were gathered; add patients so that the column no longer tells the class.",
        column_shortcut,
    ),
    Check(
        "embedding-site",
        "Embedding that tells the site better than the class",
        "warning",
        "The network distinguishes the hospitals more clearly than the classes; its figures may rest on the site, and "
        "need not hold elsewhere.",
        "Test on patients of a site that was not trained on; normalise the stain, and add patients of each class from "
        "every site.",
        embedding_site,
        ("embeddings",),
    ),
)
#: Every check by its code, in the order in which they run.
CHECKS: Mapping[str, Check] = MappingProxyType({check.code: check for check in _ALL})
