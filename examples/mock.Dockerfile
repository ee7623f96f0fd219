# The mock, for a compose file or a CI service. From the root of a checkout:
#   docker build -f examples/mock.Dockerfile -t kayrros-mock .
#   docker run --rm -p 127.0.0.1:4010:4010 kayrros-mock
# Prism serves openapi.yaml without Python. Kayrros uses plain http for localhost only: in a compose file, give the service
# that uses the mock `network_mode: "service:kayrros-mock"`.
FROM node:24-slim

# With NODE_ENV=production, Prism starts several processes and crashes.
ENV NODE_ENV=development
WORKDIR /mock
COPY package.json package-lock.json .npmrc ./
RUN npm ci --include=dev --ignore-scripts && npm cache clean --force
COPY openapi.yaml ./

USER 1000
EXPOSE 4010
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["node", "-e", "fetch('http://127.0.0.1:4010/v1/processing/collection/list', {headers: {authorization: 'Bearer t'}}).then(answer => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "node_modules/@stoplight/prism-cli/dist/index.js", "mock", "openapi.yaml", "--host", "0.0.0.0", "--port", "4010", "--multiprocess", "false"]
