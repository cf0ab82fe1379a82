"""The client of collection campaigns: frames scored by how like an issue's elements they are, and collected."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from lib.core.errors import EarshotError
from lib.curation.client.client import Client
from lib.curation.collection.campaign import THRESHOLD, Campaign, examples_of
from lib.curation.frames.frame_streams import UnlabeledDataset
from lib.curation.frames.labeled_frame import LabeledFrame, UnlabeledFrame
from lib.curation.issues.issue import Issue
from lib.curation.issues.issue_manager import IssueManager
from lib.curation.store.embedding_rows import EmbeddingBlock

CAMPAIGN = "Collection Campaign"
OVER = ("resolved", "cancelled")
"""States of issues for which nothing is collected any more."""
EMBED = "upload some or, of a linked data set, run the embed stage on its recordings"


class CollectedFrames(NamedTuple):
    """What was collected for a campaign, or would be: the data set, and its new frames, most similar first."""

    issue_id: str
    dataset: str
    frame_ids: list[str]
    similarities: list[float]


class CollectionClient(Client):
    """A Client that also collects frames for campaigns.

    First sync_state reads the campaigns, then sample_probabilities scores frames, and save_for_collection keeps some.
    The similarity of two sounds is the cosine between their embeddings by one model, and that of a frame and a campaign
    the highest to any of the campaign's elements.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._campaigns: list[Campaign] = []

    def sync_state(self, target_project_names: Sequence[str] = (), target_issue_uuids: Sequence[str] = ()) -> None:
        """Read the campaigns that frames are to be scored for; what was scored before is forgotten.

        Args:
            target_project_names: projects whose campaigns are meant; none: all.
            target_issue_uuids: the campaigns that are meant, instead.

        Raises EarshotError if there is no such project or campaign, or its elements have no embeddings.
        """
        if target_project_names and target_issue_uuids:
            raise EarshotError("sync_state", "takes projects or issues, not both", "leave one of them out")
        projects = list(target_project_names) or [row.Name for row in self.catalog.projects()]
        issues = [(project, issue) for project in projects for issue in IssueManager(self, project).list_issues()]
        if target_issue_uuids:
            by_id = {issue.issue_id: (project, issue) for project, issue in issues}
            if missing := [each for each in target_issue_uuids if each not in by_id]:
                raise EarshotError(f"issue {missing[0]!r}", "there is none of this id", "see list_issues")
            issues = [by_id[each] for each in target_issue_uuids]
        else:
            issues = [each for each in issues if each[1].template_type == CAMPAIGN and each[1].state not in OVER]
        self._campaigns = [self._campaign(project, issue) for project, issue in issues]

    def sample_probabilities(
        self, frames: Sequence[LabeledFrame], dataset: str | None = None
    ) -> dict[str, dict[str, float]]:
        """Score frames, which must have embeddings, for each campaign that was read; scores of before are kept.

        Args:
            frames: such as get_frames gives them.
            dataset: the data set, in the campaigns' projects, whose embeddings (see Client.embeddings) those frames get
                that have none; a collected frame keeps the one that is most like the campaign's elements.

        Returns the similarity of each frame, -1..1, by campaign and frame ID.
        """
        scores: dict[str, dict[str, float]] = {}
        for campaign in self._synced():
            contents = {frame.frame_id: frame.to_dict() for frame in frames}
            lacking = [frame for frame, content in contents.items() if not content.get("frame_embeddings")]
            if lacking and dataset is not None:
                for frame, (model, vector) in self._most_similar(campaign, dataset, lacking).items():
                    contents[frame]["frame_embeddings"] = {model: vector}
            for frame, content in contents.items():
                if not content.get("frame_embeddings"):
                    remedy = "call its add_frame_embedding, or name its data set"
                    raise EarshotError(f"frame {frame!r}", "has no embedding", remedy)
                campaign.sampled[frame] = (campaign.score_frame(content["frame_embeddings"]), content)
            scores[campaign.issue_id] = {frame: campaign.sampled[frame][0] for frame in contents}
        return scores

    def save_for_collection(
        self,
        override_sampling_threshold: float | None = None,
        target_sample_count: int | None = None,
        dry_run: bool = False,
    ) -> list[CollectedFrames]:
        """Put the scored frames that are like a campaign's elements into an unlabelled data set, for labelling.

        Each campaign has one, see collected_dataset. Frames that are there already stay as they are.

        Args:
            override_sampling_threshold: least similarity, -1..1; None: that of the campaign (sampling_threshold among
                its custom_template_fields, else THRESHOLD).
            target_sample_count: take so many frames instead, the most similar ones.
            dry_run: only tell what would be collected.
        """
        if target_sample_count is not None and target_sample_count < 0:
            raise EarshotError(f"target_sample_count {target_sample_count}", "must be 0 or more")
        collected = []
        for campaign in self._synced():
            name = collected_dataset(campaign.name, campaign.issue_id)
            there = self._frames_there(campaign.project, name)
            chosen = campaign.chosen(override_sampling_threshold, target_sample_count)
            frames = [frame for frame in chosen if frame not in there]
            if frames and not dry_run:
                dataset = UnlabeledDataset()
                for frame in frames:
                    content = campaign.sampled[frame][1] | {"label_data": [], "crop_embeddings": []}
                    vectors = content["frame_embeddings"].items()
                    content["frame_embeddings"] = {model: np.asarray(vector).tolist() for model, vector in vectors}
                    dataset.add_frame(UnlabeledFrame.from_dict(content))
                self.create_or_update_dataset(campaign.project, name, dataset=dataset)
            similarities = [campaign.sampled[frame][0] for frame in frames]
            collected.append(CollectedFrames(campaign.issue_id, name, frames, similarities))
        return collected

    def get_unlabeled_results_for_issue(
        self,
        *,
        issue_uuid: str,
        unlabeled_dataset_name: str,
        sort_status: str | None = "UNSORTED",
        unlabeled_only: bool | None = True,
        retrigger_search: bool | None = False,
    ) -> list[dict[str, Any]]:
        """The frames of an unlabelled data set at the threshold of an issue, most similar first.

        They are scored at each call, so there is nothing to retrigger. Where a linked data set has LEAST_WINDOWS of
        lib.curation.vector_index or more, the index of its store finds them, which may miss a few.

        Args:
            issue_uuid: any issue whose elements have embeddings.
            unlabeled_dataset_name: of the issue's project.
            sort_status: UNSORTED: those that were not collected yet; ADDED: those that were; None: both.
            unlabeled_only: leave out those that were collected for labelling, whatever the status.
            retrigger_search: of no effect.

        Returns:
            frame_id, dataset, similarity and sort_status of each.
        """
        if sort_status not in (None, "UNSORTED", "ADDED"):
            raise EarshotError(f"sort_status {sort_status!r}", "is not one of UNSORTED, ADDED, None")
        project, issue = self._issue(issue_uuid)
        campaign = self._campaign(project, issue)
        there = self._frames_there(project, collected_dataset(issue.name, issue_uuid))
        scored = self._similar_frames(campaign, unlabeled_dataset_name)
        results = []
        for frame in sorted(scored, key=lambda name: (-scored[name], name)):
            status = "ADDED" if frame in there else "UNSORTED"
            is_wanted = sort_status in (None, status) and not (unlabeled_only and status == "ADDED")
            if is_wanted:
                place = {"frame_id": frame, "dataset": unlabeled_dataset_name}
                results.append(place | {"similarity": scored[frame], "sort_status": status})
        return results

    def _similar_frames(self, campaign: Campaign, dataset: str) -> dict[str, float]:
        """The frames of a data set at the threshold of a campaign, with their similarity."""
        scored: dict[str, float] = {}
        linked = self.linked_embeddings(campaign.project, dataset)
        by_index = None
        if linked is not None and linked.model in campaign.examples:
            by_index = linked.frames_like(campaign.examples[linked.model], campaign.threshold)
        blocks = self.embeddings(campaign.project, dataset)
        if by_index is not None:
            scored, blocks = by_index, self.uploaded_embeddings(campaign.project, dataset)
        for block, similarities in self._compared(campaign, dataset, blocks, by_index is not None):
            for row in np.flatnonzero(similarities >= campaign.threshold).tolist():
                frame, similarity = block.frame_ids[row], float(similarities[row])
                scored[frame] = max(similarity, scored.get(frame, -1.0))
        return scored

    def _most_similar(
        self, campaign: Campaign, dataset: str, frames: Sequence[str]
    ) -> dict[str, tuple[str, np.ndarray]]:
        """Of frames' embeddings, those most like a campaign's elements: model and vector, by frame."""
        best: dict[str, tuple[float, str, np.ndarray]] = {}
        blocks = self.embeddings(campaign.project, dataset, frame_ids=frames)
        for block, similarities in self._compared(campaign, dataset, blocks):
            for row, similarity in enumerate(similarities.tolist()):
                frame = block.frame_ids[row]
                if frame not in best or similarity > best[frame][0]:
                    best[frame] = similarity, block.model, block.vectors[row].copy()
        return {frame: (model, vector) for frame, (_, model, vector) in best.items()}

    def _compared(
        self, campaign: Campaign, dataset: str, blocks: Iterable[EmbeddingBlock], may_be_none: bool = False
    ) -> Iterator[tuple[EmbeddingBlock, np.ndarray]]:
        """The blocks by models that a campaign has examples of, with their similarities, float32 (n,).

        Raises EarshotError if there are none, unless that may be.
        """
        others = set()
        for block in blocks:
            if block.model in campaign.examples:
                may_be_none = True
                yield block, campaign.similarity(block.model, np.asarray(block.vectors))
            else:
                others.add(block.model)
        if may_be_none:
            return
        linked = self.linked_embeddings(campaign.project, dataset)
        if linked is not None and linked.model in others:
            fault = f"was made by another model than the embeddings of issue {campaign.name!r}"
            raise EarshotError(linked.path, fault, "embed both by one model")
        fault = f"has no frame embeddings by {', '.join(map(repr, campaign.examples))}"
        raise EarshotError(f"data set {dataset!r}", fault, EMBED)

    def _campaign(self, project: str, issue: Issue) -> Campaign:
        assert issue.issue_id is not None and issue.dataset is not None
        examples: dict[str, list[np.ndarray]] = {}
        for inferences in dict.fromkeys([None, issue.inference_set]):
            is_inference = inferences is not None
            elements = {
                (each.frame_id, "" if each.element_type == "frame" else each.element_id)
                for each in issue.elements
                if (each.crop_type == "inference") == is_inference
            }
            if elements:
                frames = {frame for frame, _ in elements}
                blocks = self.embeddings(project, issue.dataset, inferences, issue.element_type == "crop", frames)
                for model, vectors in examples_of(blocks, elements).items():
                    examples.setdefault(model, []).append(vectors)
        if not examples:
            raise EarshotError(f"issue {issue.name!r}", "none of its elements has an embedding", EMBED)
        threshold = float(issue.custom_template_fields.get("sampling_threshold", THRESHOLD))
        joined = {model: np.concatenate(parts) for model, parts in examples.items()}
        return Campaign(project, issue.issue_id, issue.name, threshold, joined)

    def _issue(self, issue_id: str) -> tuple[str, Issue]:
        for row in self.catalog.projects():
            for issue in IssueManager(self, row.Name).list_issues():
                if issue.issue_id == issue_id:
                    return row.Name, issue
        raise EarshotError(f"issue {issue_id!r}", "there is none of this id", "see list_issues")

    def _frames_there(self, project: str, dataset: str) -> set[str]:
        if self.catalog.find_set(project, dataset) is None:
            return set()
        return {frame.frame_id for frame in self.frames(project, dataset)}

    def _synced(self) -> list[Campaign]:
        if not self._campaigns:
            raise EarshotError("collection campaigns", "none was read", "call sync_state, or create a campaign first")
        return self._campaigns


def collected_dataset(issue_name: str, issue_id: str) -> str:
    """The data set that what is collected for an issue goes to.

    >>> collected_dataset("owls", "3f2a9c10-...")
    'collected for owls (3f2a9c10)'
    """
    return f"collected for {issue_name} ({issue_id[:8]})"
