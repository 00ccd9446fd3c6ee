// The question sheet as the Node.js backend served it: a bearer token, cache-aside in Redis, JSON on every request.
// Prints its port. GET /loads answers how often the database was asked; asking it takes 10 ms.
import express from "express";
import jwt from "jsonwebtoken";
import { createClient } from "redis";

const [redisUrl, secret, sheet] = process.argv.slice(2);
const redis = createClient({ url: redisUrl });
await redis.connect();

let loads = 0;
const load = async () => {
  loads += 1;
  await new Promise((resolve) => setTimeout(resolve, 10));
  return JSON.parse(sheet);
};

const app = express();
app.get("/api/v1/exams/:id/questions", async (request, response) => {
  try {
    jwt.verify((request.headers.authorization ?? "").replace("Bearer ", ""), secret, { algorithms: ["HS256"] });
  } catch {
    return response.status(401).json({ title: "Unauthorized" });
  }
  const key = `exam:${request.params.id}:questions`;
  const cached = await redis.get(key);
  if (cached) return response.json(JSON.parse(cached));
  const value = await load();
  await redis.setEx(key, 7200, JSON.stringify(value));
  response.json(value);
});
app.get("/loads", (_, response) => response.json(loads));
const server = app.listen(0, "127.0.0.1", () => console.log(`port ${server.address().port}`));
