// The languages of the lesson: the first is the one to start in. Every table in texts/ has them all.
export const LANGUAGES = { "zh-Hant": "中文", en: "English" };
