// Bull Board without a browser and HTTP: its routes, called as its server adapters do.
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { queueOf } from './bullmq.mjs';

const boards = new Map();

async function boardOf(request) {
  const found = { routes: [], queues: undefined };
  const server = {
    setQueues: (queues) => { found.queues = queues; return server; },
    setApiRoutes: (routes) => { found.routes = routes; return server; },
    setEntryRoute: () => server,
    setErrorHandler: () => server,
    setStaticPath: () => server,
    setUIConfig: () => server,
    setViewsPath: () => server,
  };
  const queues = [new BullMQAdapter(await queueOf(request))];
  createBullBoard({ queues, serverAdapter: server, options: { uiBasePath: 'none', uiConfig: {} } });
  return found;
}

/** Answers a request of the page: {status, body}. */
export async function board({ method, route, params = {}, query = {}, body = {}, ...request }) {
  if (!boards.has(request.version)) boards.set(request.version, await boardOf(request));
  const { routes, queues } = boards.get(request.version);
  const methods = (one) => [one.method].flat();
  const found = routes.find((one) => methods(one).includes(method) && [one.route].flat().includes(route));
  if (!found) throw new Error(`Bull Board has no ${method} ${route}`);
  return found.handler({ queues, params, query: { page: '1', jobsPerPage: '10', ...query }, body, headers: {} });
}
