"""Documents, chats, prompts and answers: how they are read and encoded."""
