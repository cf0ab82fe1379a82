// A list of clips that a filter gives, of which only the pages in use are here.
import { get } from "./server.js";

const PAGE = 100;
const MOST_PAGES = 60;

export class ClipList {
  constructor(filter) {
    this.filter = filter;
    this.total = 0;
    this.selected = new Set();
    this.pages = new Map();
    this.ready = this.page(0);
  }

  page(number) {
    let page = this.pages.get(number);
    if (!page) {
      const { issue, ...filter } = this.filter;
      const values = { ...filter, offset: number * PAGE, limit: PAGE, as_of: this.serial };
      page = get(issue ? `/issues/${encodeURIComponent(issue)}/clips` : "/clips", values).then((answer) => {
        this.serial ??= answer.serial;
        this.total = answer.total;
        page.clips = answer.clips;
        return answer.clips;
      });
      page.catch(() => this.pages.delete(number));
      this.pages.set(number, page);
      if (this.pages.size > MOST_PAGES) this.pages.delete(this.pages.keys().next().value);
    }
    return page;
  }

  async at(index) {
    await this.ready;
    return (await this.page(Math.floor(index / PAGE)))[index % PAGE];
  }

  /** The IDs of the first clips. */
  async ids(most) {
    await this.ready;
    const found = [];
    for (let k = 0; k * PAGE < Math.min(most, this.total); k++) found.push(...(await this.page(k)).map((clip) => clip.id));
    return found.slice(0, most);
  }

  /** The clip at an index, if it is here; else undefined, and it is on its way. */
  known(index) {
    const page = this.page(Math.floor(index / PAGE));
    return page.clips?.[index % PAGE];
  }

  /** Take over what clips have become. */
  update(clips) {
    const byId = new Map(clips.map((clip) => [clip.id, clip]));
    for (const page of this.pages.values())
      page.clips?.forEach((clip, k) => byId.has(clip.id) && (page.clips[k] = byId.get(clip.id)));
  }

  indexOf(id) {
    for (const [number, page] of this.pages) {
      const k = page.clips?.findIndex((clip) => clip.id === id) ?? -1;
      if (k >= 0) return number * PAGE + k;
    }
    return -1;
  }
}
