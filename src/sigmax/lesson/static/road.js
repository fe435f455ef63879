// The chapters in their order, and how many claims each settles.
export const ROAD = [
  { name: "share", claims: 7, load: () => import("./chapters/share.js") },
  { name: "forms", claims: 4, load: () => import("./chapters/forms.js") },
  { name: "sigmoid", claims: 12, load: () => import("./chapters/sigmoid.js") },
  { name: "logit", claims: 6, load: () => import("./chapters/logit.js") },
  { name: "pair", claims: 7, load: () => import("./chapters/pair.js") },
  { name: "softmax", claims: 7, load: () => import("./chapters/softmax.js") },
  { name: "temperature", claims: 8, load: () => import("./chapters/temperature.js") },
  { name: "cross_entropy", claims: 10, load: () => import("./chapters/cross_entropy.js") },
  { name: "frameworks", claims: 8, load: () => import("./chapters/frameworks.js") },
  { name: "playground", claims: 7, load: () => import("./chapters/playground.js") },
];
