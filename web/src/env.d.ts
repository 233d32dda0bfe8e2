/// <reference types="vite/client" />

/** What browsers have that TypeScript's library does not know yet. */
interface Window {
  showSaveFilePicker?(options: { readonly suggestedName: string }): Promise<FileSystemFileHandle>;
  showDirectoryPicker?(options: { readonly mode: 'readwrite' }): Promise<FileSystemDirectoryHandle>;
}

declare module 'virtual:report-style.css' {}
