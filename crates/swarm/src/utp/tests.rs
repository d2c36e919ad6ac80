mod flows;
mod hostile;
mod transfer;
