/** The few things that the page does with its elements. */
import type { Markup } from '../../src/report/html/markup.js';

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element "${id}"`);
  return element as T;
}

/** Fills an element with markup, in which every text was escaped when it was built. */
export function fill(element: HTMLElement, content: Markup | null): void {
  element.innerHTML = content?.text ?? '';
}

/** Tells what happens, for those who see and those who hear the page. */
export function tell(text: string): void {
  byId('status').textContent = text;
}

/** Says what went wrong, where it is seen. */
export function trouble(title: string, message: string): void {
  const place = byId('trouble');
  place.replaceChildren();
  const heading = document.createElement('h2');
  heading.textContent = title;
  place.append(heading);
  for (const line of message.split('\n')) {
    const paragraph = document.createElement('p');
    paragraph.textContent = line;
    place.append(paragraph);
  }
  place.hidden = false;
  place.focus();
}

export function noTrouble(): void {
  byId('trouble').hidden = true;
  byId('trouble').replaceChildren();
}

/** Has a link to a file in memory or on disk do as a download. */
export function download(file: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  // The download has begun by then; a file that lies on disk needs its address no longer.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
